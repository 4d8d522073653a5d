// What enters the window and what leaves it do not point at each other.
#include <gtest/gtest.h>

#include "merge/linker.h"
#include "story.h"

namespace weft::merge {
namespace {

using model::Role;

// The other end may be gone when an end that left before it is looked at again.
TEST(MergeWindow, EndThatHasLeftDoesNotKnowTheOtherEndAnyMore) {
  Story story;
  ProcessTable processes(1, 10);
  Window window(1);
  Linker linker(window, processes);
  const model::ProcessRef curl = Story::Process(5, "curl"), stock = Story::Process(20, "stock");
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  Entry& client = window.Add(std::move(call), processes.Get(MergeKey(curl->key)));
  linker.OnOpened(client);
  Entry& server = window.Add(std::move(request), processes.Get(MergeKey(stock->key)));
  linker.OnOpened(server);
  ASSERT_EQ(server.pair, &client);
  const EntryPtr gone = window.Remove(server, 1);
  EXPECT_EQ(client.pair, nullptr);
  EXPECT_EQ(gone->pair, nullptr);
}

}  // namespace
}  // namespace weft::merge
