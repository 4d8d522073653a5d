// Private to protocols/zipkin: one function per encoding. Each reads spans and hands them to the
// composer. False when the bytes are not of that form, with a readable error; or when the composer
// has no more room.
#pragma once

#include <string>

#include "base/bytes.h"
#include "protocols/zipkin/compose.h"
#include "protocols/zipkin/transcode.h"

namespace weft::protocols::zipkin {

bool ReadJson(base::ByteView request, bool version1, Composer& composer, std::string* error);
bool ReadProto(base::ByteView request, Composer& composer, std::string* error);
bool ReadThriftList(base::ByteView request, Composer& composer, std::string* error);
// A whole message with its head; other statuses than kDone and kMalformed come from the head.
TranscodeStatus ReadThriftCall(base::ByteView datagram, bool compact, Composer& composer,
                               std::string* error);

}  // namespace weft::protocols::zipkin
