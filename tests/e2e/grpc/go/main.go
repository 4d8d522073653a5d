// A gRPC service and its client, and an HTTPS server and client, with Go's own libraries:
//
//	echo server PORT | echo client PORT METHOD COUNT | echo https-server PORT CERT KEY | echo https-client URL COUNT
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type echo struct{}

type unary func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)

func handler(do unary) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(wrapperspb.StringValue)
		if err := decode(request); err != nil {
			return nil, err
		}
		return do(ctx, request)
	}
}

func count(_ any, stream grpc.ServerStream) error {
	request := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	for i := 0; i < 5; i++ {
		if err := stream.SendMsg(request); err != nil {
			return err
		}
	}
	return nil
}

var service = grpc.ServiceDesc{
	ServiceName: "weft.test.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Say", Handler: handler(func(_ context.Context, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return r, nil
		})},
		{MethodName: "Fail", Handler: handler(func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return nil, status.Error(codes.NotFound, "no such thing")
		})},
	},
	Streams: []grpc.StreamDesc{{StreamName: "Count", Handler: count, ServerStreams: true}},
}

func serve(port string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&service, &echo{})
	return server.Serve(listener)
}

func call(port, method string, times int) error {
	channel, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer channel.Close()
	path := "/weft.test.Echo/" + method
	for ; times > 0; times-- {
		reply := new(wrapperspb.StringValue)
		if method != "Count" {
			if err := channel.Invoke(context.Background(), path, wrapperspb.String("hi"), reply); err != nil {
				fmt.Println(status.Code(err))
			}
			continue
		}
		stream, err := channel.NewStream(context.Background(), &service.Streams[0], path)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(wrapperspb.String("hi")); err != nil {
			return err
		}
		stream.CloseSend()
		for stream.RecvMsg(reply) == nil {
		}
	}
	return nil
}

func https(url string, times int) error {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: os.Getenv("HTTP2") != ""}}
	for ; times > 0; times-- {
		reply, err := client.Get(url)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
	}
	return nil
}

func main() {
	var err error
	arguments := os.Args[1:]
	switch arguments[0] {
	case "server":
		err = serve(arguments[1])
	case "client":
		times, _ := strconv.Atoi(arguments[3])
		err = call(arguments[1], arguments[2], times)
	case "https-server":
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
		err = http.ListenAndServeTLS("127.0.0.1:"+arguments[1], arguments[2], arguments[3], nil)
	case "https-client":
		times, _ := strconv.Atoi(arguments[2])
		err = https(arguments[1], times)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
