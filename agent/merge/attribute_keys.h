// Every attribute that weft adds to a span, in one place. docs/attributes.md explains them; a test
// compares the two. Semantic convention attributes of kernel-seen spans are not listed: they are
// OpenTelemetry's.
#pragma once

#include <string_view>

namespace weft::merge {

inline constexpr std::string_view kOriginKey = "weft.origin";
inline constexpr std::string_view kRequestFirstKey = "weft.wire.request.first_unix_nano";
inline constexpr std::string_view kRequestLastKey = "weft.wire.request.last_unix_nano";
inline constexpr std::string_view kResponseFirstKey = "weft.wire.response.first_unix_nano";
inline constexpr std::string_view kResponseLastKey = "weft.wire.response.last_unix_nano";
inline constexpr std::string_view kRequestBytesKey = "weft.wire.request.bytes";
inline constexpr std::string_view kResponseBytesKey = "weft.wire.response.bytes";
inline constexpr std::string_view kRequestMessagesKey = "weft.wire.request.messages";
inline constexpr std::string_view kResponseMessagesKey = "weft.wire.response.messages";
inline constexpr std::string_view kStreamKey = "weft.wire.stream_id";
inline constexpr std::string_view kParentRuleKey = "weft.parent.rule";
inline constexpr std::string_view kParentCandidatesKey = "weft.parent.candidates";
inline constexpr std::string_view kParentConfidenceKey = "weft.parent.confidence";

inline constexpr std::string_view kAttributeKeys[] = {
    kOriginKey,           kRequestFirstKey, kRequestLastKey,   kResponseFirstKey,
    kResponseLastKey,     kRequestBytesKey, kResponseBytesKey, kRequestMessagesKey,
    kResponseMessagesKey, kStreamKey,       kParentRuleKey,    kParentCandidatesKey,
    kParentConfidenceKey};

// Values of weft.origin; a span without it was passed on as the SDK sent it.
inline constexpr std::string_view kOriginMerged = "merged";
inline constexpr std::string_view kOriginKernel = "kernel";
// The only inferred parent so far, and how far to trust it.
inline constexpr std::string_view kRuleThread = "thread";
inline constexpr double kThreadConfidence = 0.9;
inline constexpr double kWeakConfidence = 0.7;  // the process multiplexes

}  // namespace weft::merge
