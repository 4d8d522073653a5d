#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "protocols/thrift/binary_reader.h"
#include "protocols/thrift/compact_reader.h"
#include "protocols/thrift/skip.h"
#include "protocols/thrift/thrift_writer.h"

namespace weft::protocols::thrift {
namespace {

template <typename R>
class ThriftReader : public ::testing::Test {
 protected:
  static constexpr bool kCompact = std::is_same_v<R, CompactReader>;
  ThriftWriter writer_{kCompact};
};
using Readers = ::testing::Types<CompactReader, BinaryReader>;
TYPED_TEST_SUITE(ThriftReader, Readers);

// A struct with every type that there is.
void WriteEverything(ThriftWriter& w) {
  w.Begin();
  w.BoolField(1, true);
  w.BoolField(2, false);
  w.Field(3, Type::kByte), w.Byte(200);
  w.Field(4, Type::kI16), w.I16(-300);
  w.I32Field(40, std::numeric_limits<int32_t>::min());  // a jump of more than 15
  w.I64Field(41, std::numeric_limits<int64_t>::max());
  w.DoubleField(42, -0.125);
  w.TextField(43, "text");
  w.ListField(20, Type::kI32, 20);  // backwards
  for (int i = 0; i < 20; ++i) w.I32(i);
  w.Field(21, Type::kMap), w.Map(Type::kBinary, Type::kBool, 1), w.Text("k"), w.Byte(1);
  w.Field(22, Type::kSet), w.List(Type::kI64, 2), w.I64(1), w.I64(-1);
  w.Field(23, Type::kMap), w.Map(Type::kI64, Type::kI64, 0);
  w.Field(24, Type::kStruct), w.Begin(), w.BoolField(1, true), w.End();
  w.Field(25, Type::kUuid), w.Raw("0123456789abcdef");
  w.End();
}

TYPED_TEST(ThriftReader, ReadsWhatWasWritten) {
  WriteEverything(this->writer_);
  TypeParam r(this->writer_.view());
  Field f;
  const auto next = [&] { return f = r.NextField(f.id), f.id; };
  EXPECT_EQ(next(), 1);
  EXPECT_TRUE(r.Bool(f));
  EXPECT_EQ(next(), 2);
  EXPECT_FALSE(r.Bool(f));
  EXPECT_EQ(next(), 3);
  EXPECT_EQ(r.Byte(), 200);
  EXPECT_EQ(next(), 4);
  EXPECT_EQ(r.I16(), -300);
  EXPECT_EQ(next(), 40);
  EXPECT_EQ(r.I32(), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(next(), 41);
  EXPECT_EQ(r.I64(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(next(), 42);
  EXPECT_EQ(r.Double(), -0.125);
  EXPECT_EQ(next(), 43);
  EXPECT_EQ(r.Binary(), "text");
  EXPECT_EQ(next(), 20);
  const ListHead list = r.List();
  EXPECT_EQ(list.element, Type::kI32);
  ASSERT_EQ(list.count, 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(r.I32(), i);
  EXPECT_EQ(next(), 21);
  const MapHead map = r.Map();
  EXPECT_EQ(map.key, Type::kBinary);
  EXPECT_EQ(map.value, Type::kBool);
  EXPECT_EQ(map.count, 1u);
  EXPECT_EQ(r.Binary(), "k");
  EXPECT_EQ(r.Byte(), 1);
  EXPECT_TRUE(r.ok());
}

TYPED_TEST(ThriftReader, SkipEndsWhereTheValueEnds) {
  WriteEverything(this->writer_);
  this->writer_.Raw("rest");
  TypeParam r(this->writer_.view());
  SkipElement(r, Type::kStruct);
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.left(), 4u);
}

TYPED_TEST(ThriftReader, EveryTruncationFailsAndReadsNothingMore) {
  WriteEverything(this->writer_);
  const base::ByteView all = this->writer_.view();
  for (size_t n = 0; n < all.size(); ++n) {
    const std::vector<uint8_t> exact(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
    TypeParam r(exact);
    SkipElement(r, Type::kStruct);
    EXPECT_FALSE(r.ok()) << n;
    EXPECT_EQ(r.left(), 0u) << n;
    EXPECT_EQ(r.I64(), 0) << n;
    EXPECT_EQ(r.NextField(0).type, Type::kStop) << n;
  }
}

// F26
TYPED_TEST(ThriftReader, CountsLargerThanTheBytesLeftAreRefused) {
  for (const Type element :
       {Type::kBool, Type::kI64, Type::kBinary, Type::kStruct, Type::kDouble}) {
    for (const uint32_t count : {100u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
      ThriftWriter list(this->kCompact);
      list.List(element, count);
      list.Raw("some bytes");
      TypeParam r(list.view());
      EXPECT_EQ(r.List().count, 0u);
      EXPECT_FALSE(r.ok());

      ThriftWriter map(this->kCompact);
      map.Map(element, element, count);
      map.Raw("some bytes");
      TypeParam m(map.view());
      EXPECT_EQ(m.Map().count, 0u);
      EXPECT_FALSE(m.ok());
    }
  }
}

// F26: the smallest list of doubles that fits, and one that is a byte short.
TYPED_TEST(ThriftReader, CountIsCheckedAgainstTheElementSize) {
  this->writer_.List(Type::kDouble, 2);
  this->writer_.Double(1), this->writer_.Double(2);
  TypeParam fits(this->writer_.view());
  EXPECT_EQ(fits.List().count, 2u);
  TypeParam short_of_one(this->writer_.view().first(this->writer_.view().size() - 1));
  EXPECT_EQ(short_of_one.List().count, 0u);
  EXPECT_FALSE(short_of_one.ok());
}

// F27
TYPED_TEST(ThriftReader, NestingHasALimit) {
  const auto nested = [&](int depth) {
    ThriftWriter w(this->kCompact);
    for (int i = 0; i < depth; ++i) w.List(Type::kList, 1);
    w.List(Type::kBool, 0);
    return w.out();
  };
  const std::string fine = nested(kMaxDepth - 1), deep = nested(kMaxDepth),
                    bottomless = nested(100'000);
  TypeParam a(base::AsBytes(fine));
  SkipElement(a, Type::kList);
  EXPECT_TRUE(a.ok());
  for (const std::string* text : {&deep, &bottomless}) {
    TypeParam r(base::AsBytes(*text));
    SkipElement(r, Type::kList);
    EXPECT_FALSE(r.ok());
  }
}

TYPED_TEST(ThriftReader, TryFieldTakesThatFieldOnly) {
  this->writer_.Begin();
  this->writer_.I64Field(3, 5);
  this->writer_.TextField(4, "x");
  this->writer_.End();
  TypeParam r(this->writer_.view());
  EXPECT_FALSE(r.TryField(0, 2, Type::kI64));
  EXPECT_FALSE(r.TryField(0, 3, Type::kI32));
  EXPECT_FALSE(r.TryField(0, 3, Type::kBool));
  ASSERT_TRUE(r.TryField(0, 3, Type::kI64));
  EXPECT_EQ(r.I64(), 5);
  ASSERT_TRUE(r.TryField(3, 4, Type::kBinary));
  EXPECT_EQ(r.Binary(), "x");
  EXPECT_FALSE(r.TryField(4, 5, Type::kI64));
  EXPECT_EQ(r.NextField(4).type, Type::kStop);
  EXPECT_TRUE(r.ok());
  EXPECT_FALSE(r.TryField(4, 5, Type::kI64));  // at the end
}

// F28
TYPED_TEST(ThriftReader, UnknownTypesAreRefused) {
  const std::vector<int> types =
      this->kCompact ? std::vector<int>{14, 15} : std::vector<int>{1, 5, 7, 9, 17, 99, 255};
  for (const int type : types) {
    std::string bytes(1, static_cast<char>(this->kCompact ? 0x10 | type : type));
    bytes += std::string(40, '\0');
    TypeParam r(base::AsBytes(bytes));
    EXPECT_EQ(r.NextField(0).type, Type::kStop) << type;
    EXPECT_FALSE(r.ok()) << type;
  }
}

TYPED_TEST(ThriftReader, HeadOfCallAndOneway) {
  for (const MessageKind kind : {MessageKind::kCall, MessageKind::kOneway}) {
    ThriftWriter w(this->kCompact);
    w.Head("emitBatch", kind, 300);
    TypeParam r(w.view());
    MessageHead head;
    EXPECT_EQ(r.Head(&head), HeadStatus::kDone);
    EXPECT_EQ(head.name, "emitBatch");
    EXPECT_EQ(head.kind, kind);
    EXPECT_EQ(head.sequence, 300);
    EXPECT_EQ(r.left(), 0u);
  }
}

// F28
TYPED_TEST(ThriftReader, TheOtherProtocolIsRecognised) {
  ThriftWriter w(!this->kCompact);
  w.Head("emitBatch");
  TypeParam r(w.view());
  MessageHead head;
  EXPECT_EQ(r.Head(&head), HeadStatus::kOtherProtocol);
}

TYPED_TEST(ThriftReader, HeadIsBad) {
  for (const std::string& bytes :
       {std::string(), std::string("\x82"), std::string("\x82\x21"), std::string("\x80\x01"),
        std::string("GET / HTTP"), std::string("\x80\x02\0\4", 4),
        std::string("\xff\xff\xff\xff\xff"), std::string("\x82\x22\1\1x"),
        std::string("\x82\xa1\1\1x"), std::string("\x82\x01\1\1x")}) {
    TypeParam r(base::AsBytes(bytes));
    MessageHead head;
    EXPECT_NE(r.Head(&head), HeadStatus::kDone) << bytes;
  }
}

TEST(BinaryReader, OldHeadIsRead) {
  ThriftWriter w(false);
  w.OldHead("emitBatch", MessageKind::kCall);
  BinaryReader r(w.view());
  MessageHead head;
  EXPECT_EQ(r.Head(&head), HeadStatus::kDone);
  EXPECT_EQ(head.name, "emitBatch");
  EXPECT_EQ(head.kind, MessageKind::kCall);
}

// F26
TEST(BinaryReader, NegativeAndHugeLengthsAreRefused) {
  for (const char* length :
       {"\x7f\xff\xff\xff", "\x80\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x05"}) {
    std::string bytes(length, 4);
    bytes += "four";
    BinaryReader r(base::AsBytes(bytes));
    EXPECT_EQ(r.Binary(), "");
    EXPECT_FALSE(r.ok());
  }
}

// F26
TEST(CompactReader, OverlongVarintsAreRefused) {
  const std::string eleven = std::string(10, '\x80') + '\x01',
                    six = std::string(5, '\x80') + '\x01';
  CompactReader a(base::AsBytes(eleven));
  EXPECT_EQ(a.I64(), 0);
  EXPECT_FALSE(a.ok());
  CompactReader b(base::AsBytes(six));
  EXPECT_EQ(b.I32(), 0);
  EXPECT_FALSE(b.ok());
  const std::string ten = std::string(9, '\xff') + '\x01';
  CompactReader c(base::AsBytes(ten));
  EXPECT_EQ(c.I64(), std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(c.ok());
}

// With bytes behind a number it is read in one step, at the end of the input byte by byte.
TEST(CompactReader, NumbersOfEverySizeAreReadAlikeWhereverTheyStand) {
  for (int bits = 0; bits < 64; ++bits) {
    for (const uint64_t pattern : {uint64_t{0}, uint64_t{0x5a5a5a5a5a5a5a5a}, ~uint64_t{0}}) {
      const uint64_t top = uint64_t{1} << bits;
      const uint64_t number = top | (pattern & (top - 1));
      for (const uint64_t either : {number, ~number + 1}) {  // and its negative
        const auto value = static_cast<int64_t>(either);
        for (const size_t behind : {0u, 1u, 12u}) {
          ThriftWriter w(true);
          w.I64(value);
          w.Raw(std::string(behind, '\xff'));
          CompactReader r(w.view());
          EXPECT_EQ(r.I64(), value);
          EXPECT_TRUE(r.ok());
          EXPECT_EQ(r.left(), behind);
        }
      }
    }
  }
  for (const size_t size : {4u, 6u, 9u, 11u}) {
    const std::string bytes = std::string(size - 1, '\x80') + '\x01' + std::string(12, 'x');
    CompactReader number(base::AsBytes(bytes)), text(base::AsBytes(bytes));
    number.I32();
    EXPECT_EQ(number.ok(), size <= 5) << size;
    text.Binary();
    EXPECT_FALSE(text.ok()) << size;
  }
}

TYPED_TEST(ThriftReader, TextTagsAreTakenInOneStep) {
  const auto tag = [](const std::string& key, int32_t type, const std::string& text, bool more) {
    ThriftWriter w(TestFixture::kCompact);
    w.Begin(), w.TextField(1, key), w.I32Field(2, type), w.TextField(3, text);
    if (more) w.I64Field(6, 1);
    w.End();
    return std::string(base::AsText(w.view()));
  };
  const auto taken = [](const std::string& bytes, size_t left) {
    TypeParam r(base::AsBytes(bytes));
    std::string_view key, text;
    if (!r.TryTextTag(&key, &text)) {
      EXPECT_EQ(r.left(), bytes.size()) << "nothing is taken";
      return std::string("not");
    }
    EXPECT_EQ(r.left(), left);
    return std::string(key) + "=" + std::string(text);
  };
  const std::string long_text(127, 'v');
  EXPECT_EQ(taken(tag("", 0, "", false), 0), "=");
  EXPECT_EQ(taken(tag("k", 0, "v", false) + "behind", 6), "k=v");
  EXPECT_EQ(taken(tag(long_text, 0, long_text, false), 0), long_text + "=" + long_text);
  EXPECT_EQ(taken(tag("k", 1, "v", false), 0), "not") << "another type";
  EXPECT_EQ(taken(tag("k", 0, "v", true), 0), "not") << "further fields";
  const std::string whole = tag("key", 0, "value", false);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(taken(whole.substr(0, size), 0), "not");
}

}  // namespace
}  // namespace weft::protocols::thrift
