// TLS below a Stream: credentials that follow their files, and one connection's records in and out.
// Nothing here touches a socket: ciphertext goes in as a view and comes out as bytes to send, so
// that a plaintext Stream pays nothing for it. Internal to this room.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "net/tls.h"

struct ssl_ctx_st;
struct ssl_st;

namespace weft::net {

enum class TlsSide { kServer, kClient };
using TlsContext = std::shared_ptr<ssl_ctx_st>;

// The context made of a set of files, made again when they have changed. Threads: one. Fails: the
// first load's error is returned and tried again by the next call; later ones keep what is there.
class TlsCredentials {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `protocols`: what ALPN offers or accepts, best first.
  TlsCredentials(TlsFiles files, TlsSide side, const std::vector<std::string>& protocols);
  TlsCredentials(const TlsCredentials&) = delete;  // contexts point to wire_names_

  base::Result<TlsContext> Current(Time now);
  const TlsFiles& files() const { return files_; }
  TlsSide side() const { return side_; }
  uint64_t reloads() const { return reloads_; }
  uint64_t failed_reloads() const { return failed_reloads_; }

 private:
  std::string Fingerprint() const;

  const TlsFiles files_;
  const TlsSide side_;
  const std::string wire_names_;
  TlsContext context_;
  std::string fingerprint_;
  Time next_check_{};
  uint64_t reloads_ = 0, failed_reloads_ = 0;
};

// Threads: its stream's. Cost: plaintext and ciphertext are each written once.
class TlsSession {
 public:
  // `server_name` (clients): a name or an address to check the certificate for.
  TlsSession(const TlsContext& context, TlsSide side, const std::string& server_name, bool verify);
  ~TlsSession();

  enum class Step { kWait, kDone, kFailed };
  // Ciphertext that came; it must live until ReadPlain has answered 0.
  void Receive(base::ByteView ciphertext) { input_ = ciphertext; }
  // kWait: more input is needed (and Receive's is used up).
  Step Handshake();
  bool ready() const { return ready_; }
  // The number of bytes; 0 when more ciphertext is needed; -1 at the end (ended()) or when broken.
  ssize_t ReadPlain(std::span<uint8_t> out);
  bool ended() const { return ended_; }
  bool WritePlain(base::ByteView plaintext);
  // Says goodbye, into output().
  void Finish();
  std::string_view protocol() const;
  const std::string& error() const { return error_; }

  base::ByteView output() const { return output_.view().subspan(output_sent_); }
  void DropOutput(size_t bytes);

 private:
  friend struct TlsPipe;
  void Fail(int code);

  ssl_st* ssl_ = nullptr;
  base::ByteView input_;
  base::ByteBuffer output_;
  size_t output_sent_ = 0;
  bool ready_ = false, ended_ = false;
  std::string error_;
};

}  // namespace weft::net
