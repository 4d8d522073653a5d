// One long random conversation, told in many ways: cut into calls anywhere, copied in part, drained
// in pieces and in any order that two drains allow. The exchanges are always the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "normalize/conversation.h"

namespace weft::normalize {
namespace {

struct Turn {
  std::string request, response;
};

// Requests whose responses tell which request they belong to.
std::vector<Turn> Script(std::mt19937& random, std::string* want) {
  std::vector<Turn> turns;
  for (int i = 0; i < 40; ++i) {
    const std::string path = "/" + std::to_string(i), status = std::to_string(200 + i);
    const std::string body(random() % 300, 'b');
    Turn turn;
    std::string method = "GET";
    switch (random() % 4) {
      case 0:
        method = "POST";
        turn.request = "POST " + path +
                       " HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                       body;
        break;
      case 1:
        method = "PUT";
        turn.request =
            "PUT " + path + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        break;
      case 2:
        method = "HEAD";
        turn.request = "HEAD " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
        break;
      default:
        turn.request = "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
    }
    turn.response =
        "HTTP/1.1 " + status + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    if (method == "PUT")
      turn.response =
          "HTTP/1.1 " + status + " X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n";
    if (method == "GET" || method == "POST") turn.response += body;
    if (status == "204") turn.response = "HTTP/1.1 204 X\r\n\r\n";
    *want += (i == 0 ? "" : "; ") + method + " " + path + " " + status;
    turns.push_back(std::move(turn));
  }
  return turns;
}

TEST(Race, AnyCutAndAnyOrderWithinTwoDrainsGivesTheSameExchanges) {  // T11, T18, T23
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string want;
    const std::vector<Turn> turns = Script(random, &want);
    Agent agent;
    Conversation talk(agent, seed % 2 == 0 ? model::Role::kServer : model::Role::kClient);
    talk.Hold();
    for (const Turn& turn : turns) {
      for (size_t at = 0, n; at < turn.request.size(); at += n) {
        n = 1 + random() % turn.request.size();
        talk.Client(std::string_view(turn.request).substr(at, n));
      }
      for (size_t at = 0, n; at < turn.response.size(); at += n) {
        n = 1 + random() % turn.response.size();
        talk.Server(std::string_view(turn.response).substr(at, n));
      }
    }
    // Each record is drained in its own drain or in the next one; within a drain they are sorted by
    // time.
    std::vector<model::Segment> calls = talk.Take(), late;
    for (size_t at = 0; at < calls.size();) {
      const size_t n = 1 + random() % 20;
      std::vector<model::Segment> drain = std::exchange(late, {});
      for (size_t i = at; i < std::min(at + n, calls.size()); ++i)
        (random() % 5 == 0 ? late : drain).push_back(calls[i]);
      at += n;
      std::stable_sort(drain.begin(), drain.end(),
                       [](auto& a, auto& b) { return a.time_ns < b.time_ns; });
      agent.Push(drain);
    }
    agent.Push(late);
    agent.Tick();
    ASSERT_EQ(agent.Finished(), want) << "seed " << seed;
    ASSERT_EQ(agent.Metric("weft_normalize_lost_bytes_total"), 0) << "seed " << seed;
  }
}

// However late a request is drained, the responses after it do not move up by one.
TEST(Race, RequestDrainedLongAfterItsResponseSpoilsNoneButItself) {
  const std::string ok = " X\r\nContent-Length: 0\r\n\r\n";
  Agent agent;
  Conversation talk(agent), other(agent, model::Role::kServer, false, 2);
  talk.Client("GET /0 HTTP/1.1\r\n\r\n"), talk.Server("HTTP/1.1 200" + ok);
  talk.Hold();
  talk.Client("GET /1 HTTP/1.1\r\n\r\n"), talk.Server("HTTP/1.1 201" + ok);
  const std::vector<model::Segment> calls = talk.Take();
  ASSERT_EQ(calls.size(), 2u);
  agent.Push({calls[1]});
  for (int pass = 0; pass < 2; ++pass) {
    other.Client("GET /other HTTP/1.1\r\n\r\n"), other.Server("HTTP/1.1 299" + ok);
  }
  agent.Push({calls[0]});
  for (int i = 2; i < 5; ++i) {
    talk.Client("GET /" + std::to_string(i) + " HTTP/1.1\r\n\r\n");
    talk.Server("HTTP/1.1 20" + std::to_string(i) + ok);
  }
  for (const model::Segment& call : talk.Take()) agent.Push({call});
  agent.Tick();
  std::map<std::string, int> seen;
  for (const model::Span& span : agent.spans.finished) seen[span.target] = span.status_code;
  EXPECT_EQ(seen,
            (std::map<std::string, int>{
                {"/0", 200}, {"/1", 0}, {"/other", 299}, {"/2", 202}, {"/3", 203}, {"/4", 204}}));
}

TEST(Race, RandomLossNeverPairsWrongly) {  // T19, T42
  uint64_t answered = 0, all = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string want;
    const std::vector<Turn> turns = Script(random, &want);
    Agent agent;
    Conversation talk(agent);
    talk.Hold();
    for (const Turn& turn : turns) {
      if (random() % 20 == 0) {
        talk.ClientLost(turn.request.size());
      } else {
        talk.Client(turn.request);
      }
      if (random() % 20 == 0) {
        talk.ServerLost(turn.response.size());
      } else {
        talk.Server(turn.response);
      }
    }
    const std::vector<model::Segment> calls = talk.Take();
    for (size_t at = 0; at < calls.size(); at += 7) {
      agent.Push({calls.begin() + static_cast<ptrdiff_t>(at),
                  calls.begin() + static_cast<ptrdiff_t>(std::min(at + 7, calls.size()))});
    }
    agent.Tick();
    agent.Tick();
    for (const model::Span& span : agent.spans.finished) {
      if (span.status_code == 0) continue;
      EXPECT_EQ(span.target, "/" + std::to_string(span.status_code - 200)) << "seed " << seed;
      ++answered;
    }
    all += turns.size();
  }
  // Two losses of 5 % each spoil their own exchange and few others.
  EXPECT_GT(answered * 100, all * 80) << answered << " of " << all;
}

TEST(Race, LossOfAnyCallNeverPairsWrongly) {  // T19, T42
  uint64_t answered = 0, all = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::string want;
    const std::vector<Turn> turns = Script(random, &want);
    Agent agent;
    Conversation talk(agent, seed % 2 == 0 ? model::Role::kServer : model::Role::kClient);
    talk.Hold();
    // Calls of random size; one in fifty is lost, and one in ten is copied in part.
    auto Say = [&](std::string_view text, bool is_request) {
      for (size_t at = 0, n; at < text.size(); at += n) {
        n = std::min(1 + random() % text.size(), text.size() - at);
        const std::string_view call = text.substr(at, n);
        const std::string_view copied = random() % 10 == 0 ? call.substr(0, random() % n) : call;
        if (random() % 50 == 0) {
          is_request ? talk.ClientLost(n) : talk.ServerLost(n);
        } else {
          is_request ? talk.ClientCut(copied, n) : talk.ServerCut(copied, n);
        }
      }
    };
    for (const Turn& turn : turns) Say(turn.request, true), Say(turn.response, false);
    const std::vector<model::Segment> calls = talk.Take();
    for (size_t at = 0; at < calls.size(); at += 11) {
      agent.Push({calls.begin() + static_cast<ptrdiff_t>(at),
                  calls.begin() + static_cast<ptrdiff_t>(std::min(at + 11, calls.size()))});
    }
    agent.Tick();
    agent.Tick();
    for (const model::Span& span : agent.spans.finished) {
      if (span.status_code == 0) continue;
      // A target may be cut, never wrong.
      const std::string want_target = "/" + std::to_string(span.status_code - 200);
      EXPECT_TRUE(want_target.starts_with(span.target))
          << span.target << " of " << want_target << " seed " << seed;
      ++answered;
    }
    all += turns.size();
  }
  EXPECT_GT(answered * 100, all * 50) << answered << " of " << all;
}

TEST(Race, GarbageNeverBreaksTheBooks) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Agent agent;
    Conversation talk(agent, model::Role::kServer, seed % 2 == 0);
    const std::string_view pieces[] = {kGetA,
                                       kOk,
                                       "HTTP/1.1 100 C\r\n\r\n",
                                       "0\r\n\r\n",
                                       "\r\n",
                                       "junk",
                                       "5\r\nhello\r\n",
                                       "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                                       "GET",
                                       " /y HTTP/1.1\r\n",
                                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                       "HTTP/1.1 200 OK\r\n\r\n",
                                       "POST /z HTTP/1.1\r\nContent-Length: 7\r\n\r\n"};
    for (int i = 0; i < 200; ++i) {
      const std::string_view bytes = pieces[random() % std::size(pieces)];
      const size_t cut = random() % 4 == 0 ? random() % bytes.size() : bytes.size();
      switch (random() % 5) {
        case 0:
        case 1:
          talk.ClientCut(bytes.substr(0, cut), bytes.size());
          break;
        case 2:
        case 3:
          talk.ServerCut(bytes.substr(0, cut), bytes.size());
          break;
        default:
          random() % 2 == 0 ? talk.ClientLost(random() % 50) : talk.ServerLost(random() % 50);
      }
      if (random() % 10 == 0) talk.Wait(3000 * kMillisecond);
    }
    talk.Closes();
    EXPECT_EQ(agent.spans.opened.size(), agent.spans.finished.size()) << seed;
  }
}

}  // namespace
}  // namespace weft::normalize
