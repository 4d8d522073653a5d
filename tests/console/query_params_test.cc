#include "console/query_params.h"

#include <gtest/gtest.h>

#include "base/ids.h"

namespace weft::console {
namespace {

constexpr uint64_t kNow = 1'700'000'000'000'000'000;

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(QueryParams, FindsValuesAlsoEmptyRepeatedAndWithoutEqualsSign) {
  QueryParams params("a=1&b=&&c&a=2&d=x%26y");
  EXPECT_EQ(params.Get("a"), "1");
  EXPECT_EQ(params.All("a"), (std::vector<std::string_view>{"1", "2"}));
  EXPECT_EQ(params.Get("b"), "");
  EXPECT_EQ(params.Get("c"), "");
  EXPECT_EQ(params.Get("d"), "x&y");
  EXPECT_EQ(params.Get("missing"), "");
}

TEST(ParseDuration, ReadsTheUnitsOfGo) {
  EXPECT_EQ(*ParseDuration("100us"), 100'000u);
  EXPECT_EQ(*ParseDuration("100µs"), 100'000u);
  EXPECT_EQ(*ParseDuration("1.2ms"), 1'200'000u);
  EXPECT_EQ(*ParseDuration("2s"), 2'000'000'000u);
  EXPECT_EQ(*ParseDuration("1m30.5s"), 90'500'000'000u);
  EXPECT_EQ(*ParseDuration("1h"), 3'600'000'000'000u);
  EXPECT_EQ(*ParseDuration("7ns"), 7u);
  EXPECT_EQ(*ParseDuration("0"), 0u);
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text :
       {"", "5", "ms", "-1s", "1 s", "1.2.3s", "1sx", "1e3s", "nan", "99999999999999999h", ".s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(ParseTags, ReadsAFlatObject) {
  EXPECT_EQ(*ParseTags(R"({"error":"true","http.status_code":"500"})"),
            (Pairs{{"error", "true"}, {"http.status_code", "500"}}));
  EXPECT_EQ(*ParseTags(R"( { "a" : true , "n" : 5.5 } )"), (Pairs{{"a", "true"}, {"n", "5.5"}}));
  EXPECT_EQ(*ParseTags("{}"), Pairs{});
  EXPECT_EQ(*ParseTags(R"({"k\"\\\/\n":"\u00e9\ud83d\ude42"})"), (Pairs{{"k\"\\/\n", "é🙂"}}));
}

TEST(ParseTags, RefusesWhatIsNotAFlatObjectOfScalars) {
  for (const char* text :
       {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":{}}", "{\"a\":[1]}", "{\"a\":\"b\"",
        "{\"a\":\"b\",}", "{\"a\":\"b\"} x", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\udc00\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":null}",
        "{\"a\":\"\n\"}"}) {
    EXPECT_FALSE(ParseTags(text).ok()) << text;
  }
}

TEST(ParseTraceId, PadsShortIdsAndRefusesOthers) {
  EXPECT_EQ(ParseTraceId("abc")->Hex(), "00000000000000000000000000000abc");
  EXPECT_EQ(ParseTraceId("0123456789abcdef")->Hex(), "00000000000000000123456789abcdef");
  EXPECT_EQ(ParseTraceId("0123456789ABCDEF0123456789abcdef")->Hex(),
            "0123456789abcdef0123456789abcdef");
  EXPECT_FALSE(ParseTraceId("").ok());
  EXPECT_FALSE(ParseTraceId("xyz").ok());
  EXPECT_FALSE(ParseTraceId(std::string(33, '1')).ok());
}

TEST(ParseTraceFilter, TimesAreMicrosecondsAndDurationsHaveUnits) {
  auto filter = ParseTraceFilter(QueryParams("service=cart&operation=GET+%2F&start=1000&end=2000&"
                                             "minDuration=1.5ms&maxDuration=2s&limit=7"
                                             "&tags=%7B%22error%22%3A%22true%22%7D&tag=k:v:w"),
                                 kNow);
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(filter->service, "cart");
  EXPECT_EQ(filter->operation, "GET /");
  EXPECT_EQ(filter->start_min_ns, 1'000'000u);
  EXPECT_EQ(filter->start_max_ns, 2'000'000u);
  EXPECT_EQ(filter->duration_min_ns, 1'500'000u);
  EXPECT_EQ(filter->duration_max_ns, 2'000'000'000u);
  EXPECT_EQ(filter->limit, 7u);
  EXPECT_EQ(filter->tags, (Pairs{{"k", "v:w"}, {"error", "true"}}));
}

TEST(ParseTraceFilter, DefaultsToTheLastTwoDays) {
  auto filter = ParseTraceFilter(QueryParams(""), kNow);
  EXPECT_EQ(filter->start_max_ns, kNow);
  EXPECT_EQ(filter->start_min_ns, kNow - 48ull * 3600 * 1'000'000'000);
  EXPECT_EQ(filter->duration_max_ns, UINT64_MAX);
  EXPECT_EQ(filter->limit, 100u);
}

TEST(ParseTraceFilter, LookbackCountsFromTheEnd) {
  EXPECT_EQ(ParseTraceFilter(QueryParams("lookback=5m"), kNow)->start_min_ns,
            kNow - 300'000'000'000);
  EXPECT_EQ(ParseTraceFilter(QueryParams("lookback=2d"), kNow)->start_min_ns,
            kNow - 172'800'000'000'000);
  EXPECT_EQ(ParseTraceFilter(QueryParams("lookback=custom&start=5&end=9"), kNow)->start_min_ns,
            5000u);
  EXPECT_EQ(ParseTraceFilter(QueryParams("lookback=2h&end=1"), kNow)->start_min_ns, 0u);
}

TEST(ParseTraceFilter, NamesTheParameterThatIsWrong) {
  for (const char* query : {"start=abc", "end=1.5", "minDuration=5", "maxDuration=x", "limit=-1",
                            "limit=many", "lookback=yesterday", "tags=%7B", "tag=novalue"}) {
    auto filter = ParseTraceFilter(QueryParams(query), kNow);
    ASSERT_FALSE(filter.ok()) << query;
    std::string name(query, std::string_view(query).find('='));
    EXPECT_NE(std::string(filter.status().message()).find("'" + name + "'"), std::string::npos)
        << filter.status();
  }
  EXPECT_FALSE(ParseTraceFilter(QueryParams("minDuration=2s&maxDuration=1s"), kNow).ok());
}

TEST(ParseTraceFilter, CapsTheLimitAndTheTimes) {
  EXPECT_EQ(ParseTraceFilter(QueryParams("limit=99999999"), kNow)->limit, 1500u);
  EXPECT_EQ(ParseTraceFilter(QueryParams("end=18446744073709551615"), kNow)->start_max_ns,
            UINT64_MAX);
}

}  // namespace
}  // namespace weft::console
