#include "workload/service_name.h"

#include <gtest/gtest.h>

namespace weft::workload {
namespace {

std::string Name(std::string executable, std::vector<std::string_view> arguments,
                 std::vector<std::string_view> environment = {}, std::string folder = "/srv/shop") {
  return Identify({std::move(executable), std::move(arguments), std::move(environment),
                   std::move(folder)})
      .service_name;
}

TEST(ServiceName, TheEnvironmentWins) {
  EXPECT_EQ(Name("python3", {"python3", "app.py"}, {"A=b", "OTEL_SERVICE_NAME=cart"}), "cart");
  EXPECT_EQ(Name("x", {}, {"OTEL_RESOURCE_ATTRIBUTES=a=1, service.name=from%20list"}), "from list");
  EXPECT_EQ(Name("x", {}, {"OTEL_RESOURCE_ATTRIBUTES=service.name=list", "OTEL_SERVICE_NAME=name"}),
            "name");
  EXPECT_EQ(Name("x", {}, {"OTEL_SERVICE_NAME="}), "x");
}

TEST(ServiceName, AnInterpreterIsNamedByItsProgram) {
  EXPECT_EQ(Name("python3.11", {"python3", "-u", "/opt/app.py", "8080"}), "app");
  EXPECT_EQ(Name("python3", {"python3", "-m", "http.server", "80"}), "http.server");
  EXPECT_EQ(Name("python3", {"python3", "-W", "ignore", "run.py"}), "run");
  EXPECT_EQ(Name("node", {"node", "--require", "./tracing.js", "server.js"}), "server");
  EXPECT_EQ(Name("node", {"node", "/srv/cart/index.js"}), "cart");
  EXPECT_EQ(Name("node", {"node", "index.js"}), "shop");
  EXPECT_EQ(Name("node", {"node", "./main.js"}), "shop");
  EXPECT_EQ(Name("java", {"java", "-Xmx1g", "-cp", "a:b", "-jar", "/opt/ledger-1.2.jar"}),
            "ledger-1.2");
  EXPECT_EQ(Name("java", {"java", "com.example.Main"}), "com.example");
  EXPECT_EQ(Name("python3", {"python3", "-c", "print()"}), "python3");
  EXPECT_EQ(Name("python3", {"python3"}), "python3");
}

TEST(ServiceName, AnythingElseIsItsExecutable) {
  EXPECT_EQ(Name("nginx", {"nginx: worker process"}), "nginx");
  EXPECT_EQ(Name("nodeexporter", {"nodeexporter", "x.js"}), "nodeexporter");
  EXPECT_EQ(Name("", {}), "unknown_service");
}

TEST(ServiceName, OtherResourceAttributesAreKept) {
  auto identity = Identify(
      {"node", {}, {"OTEL_RESOURCE_ATTRIBUTES=deployment.environment=prod,broken,k=a%2Cb"}, "/"});
  std::vector<std::pair<std::string, std::string>> want = {
      {"deployment.environment", "prod"}, {"k", "a,b"}, {"telemetry.sdk.language", "nodejs"}};
  EXPECT_EQ(identity.resource, want);
}

}  // namespace
}  // namespace weft::workload
