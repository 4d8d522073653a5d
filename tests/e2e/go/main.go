// Servers and clients of net/http for the end-to-end tests:
//
//	relay back PORT [CERT KEY]            answers after a while
//	relay front PORT URL [CERT KEY]       asks URL once per request; /child/… from another goroutine, /twice/… two times
//	relay load URL COUNT WORKERS          asks URL/0 … URL/COUNT-1
//
// HTTP2=1 in the environment makes clients speak HTTP/2 over TLS.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var client = http.Client{Transport: &http.Transport{
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
	ForceAttemptHTTP2:   os.Getenv("HTTP2") != "",
	MaxIdleConnsPerHost: 100,
}}

func ask(url string) error {
	reply, err := client.Get(url)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	_, err = io.Copy(io.Discard, reply.Body)
	return err
}

func nap() { time.Sleep(time.Duration(1+rand.Intn(10)) * time.Millisecond) }

func back(w http.ResponseWriter, r *http.Request) {
	nap()
	fmt.Fprintln(w, "back")
}

func front(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		nap()
		var err error
		switch {
		case strings.HasPrefix(r.URL.Path, "/child/"):
			done := make(chan error)
			go func() { done <- ask(url + r.URL.Path) }()
			err = <-done
		case strings.HasPrefix(r.URL.Path, "/twice/"):
			if err = ask(url + r.URL.Path); err == nil {
				err = ask(url + r.URL.Path)
			}
		default:
			err = ask(url + r.URL.Path)
		}
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		nap()
		fmt.Fprintln(w, "front")
	}
}

func serve(port string, files []string, handler http.HandlerFunc) error {
	address := "127.0.0.1:" + port
	if len(files) == 2 {
		return http.ListenAndServeTLS(address, files[0], files[1], handler)
	}
	return http.ListenAndServe(address, handler)
}

func load(url string, count, workers int) error {
	paths := make(chan int)
	var failed error
	var group sync.WaitGroup
	for i := 0; i < workers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range paths {
				if err := ask(url + "/" + strconv.Itoa(n)); err != nil {
					failed = err
				}
			}
		}()
	}
	for n := 0; n < count; n++ {
		paths <- n
	}
	close(paths)
	group.Wait()
	return failed
}

func main() {
	var err error
	a := os.Args[1:]
	switch a[0] {
	case "back":
		err = serve(a[1], a[2:], back)
	case "front":
		err = serve(a[1], a[3:], front(a[2]))
	case "load":
		count, _ := strconv.Atoi(a[2])
		workers, _ := strconv.Atoi(a[3])
		err = load(a[1], count, workers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
