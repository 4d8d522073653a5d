// Throw-away certificates, made once per test program by the openssl command.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace weft::net {

// Makes in its folder: ca, server (localhost, 127.0.0.1; signed by ca), client (by ca), other-ca
// (a stranger), expired (localhost; by ca) and wrong-name, each as NAME.pem and NAME.key.
class Certificates {
 public:
  Certificates() {
    char name[] = "/tmp/weft-certificates-XXXXXX";
    folder_ = mkdtemp(name);
    Authority("ca");
    Authority("other-ca");
    Signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days 36500");
    Signed("server2", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days 36500");
    Signed("client", "extendedKeyUsage=clientAuth", "-days 36500");
    Signed("wrong-name", "subjectAltName=DNS:elsewhere.example", "-days 36500");
    Signed("expired", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days -1");
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }

  static const Certificates& Get() {
    static const Certificates kAll;
    return kAll;
  }
  static bool Possible() { return std::system("openssl version > /dev/null 2>&1") == 0; }

  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  std::string text(const std::string& file) const {
    std::ostringstream out;
    out << std::ifstream(path(file)).rdbuf();
    return out.str();
  }

 private:
  void Run(const std::string& command) {
    EXPECT_EQ(std::system(("cd " + folder_ + " && openssl " + command + " 2> log").c_str()), 0)
        << command;
  }
  void Authority(const std::string& name) {
    Run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -keyout " + name +
        ".key -out " + name + ".pem -subj /CN=" + name);
  }
  void Signed(const std::string& name, const std::string& extension, const std::string& days) {
    std::ofstream(path(name + ".ext")) << extension << "\n";
    Run("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + name +
        ".key -out " + name + ".csr -subj /CN=" + name);
    Run("x509 -req -in " + name + ".csr -CA ca.pem -CAkey ca.key -CAcreateserial " + days +
        " -extfile " + name + ".ext -out " + name + ".pem");
  }

  std::string folder_;
};

#define WEFT_NEED_CERTIFICATES() \
  if (!Certificates::Possible()) GTEST_SKIP() << "there is no openssl command"

}  // namespace weft::net
