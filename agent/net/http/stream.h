// Stream: one TCP connection on an EventLoop, for both servers and clients. It reads into the
// loop's shared buffer and gathers output from copied and borrowed pieces into as few writes as
// possible. With a TlsSession, what its handler sees and says is the plaintext. Internal to this
// room.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "model/endpoint.h"
#include "net/http/tls_session.h"

namespace weft::net {

class EventLoop;

// Callbacks of a Stream. None is called after Detach.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnConnected() {}
  // The view lives until the return. May close or detach the stream, but not destroy the handler.
  virtual void OnBytes(base::ByteView bytes) = 0;
  // The peer will send no more; output may still go.
  virtual void OnEnd() = 0;
  // Output that had been stuck has all gone to the kernel.
  virtual void OnDrained() = 0;
  // TLS failed; OnClosed follows.
  virtual void OnTlsFailed(std::string_view) {}
  // Last call, never from inside another call into the stream: the handler may be destroyed here.
  virtual void OnClosed() = 0;
};

// Threads: the loop's. Owns: the fd. Cost: a read or write allocates nothing in steady state.
// Order: (Adopt | Connect) (Append* Flush)* (Close | CloseAfterFlush)?; output of one Flush is one
// write if it fits.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // Producers should stop appending beyond this and go on in OnDrained.
  static constexpr size_t kHighWater = 512 << 10;

  // A connected non-blocking socket, whose ownership passes.
  static std::shared_ptr<Stream> Adopt(EventLoop& loop, int fd, StreamHandler* handler,
                                       std::unique_ptr<TlsSession> tls = nullptr);
  // Starts connecting; OnConnected (TLS: after the handshake) or OnClosed follows.
  static std::shared_ptr<Stream> Connect(EventLoop& loop, const model::Endpoint& to,
                                         StreamHandler* handler,
                                         std::unique_ptr<TlsSession> tls = nullptr);
  ~Stream();

  // Copies.
  void Append(base::ByteView bytes);
  void Append(std::string_view text) { Append(base::AsBytes(text)); }
  // Keeps views; `owner` is kept until the last of them has left.
  void AppendBorrowed(std::span<const base::ByteView> pieces,
                      const std::shared_ptr<const void>& owner);
  void Flush();
  size_t unsent() const { return unsent_; }
  // What the kernel has taken so far.
  uint64_t sent() const { return sent_; }
  // Memory that output takes now, without what is borrowed.
  size_t output_memory() const { return copies_.capacity() + pieces_.capacity() * sizeof(Piece); }

  void SetReading(bool reading);
  // Null: plaintext.
  const TlsSession* tls() const { return tls_.get(); }
  bool closed() const { return closed_; }
  // No callbacks from now on; what was flushed still leaves.
  void Detach() { handler_ = nullptr; }
  void Close();
  // Sends what is there, then FIN, then discards input for a moment, so that the peer gets to read
  // our last words instead of a reset.
  void CloseAfterFlush();

 private:
  struct Descriptor;
  struct Piece {
    const uint8_t* data;  // null: copied, at `offset` of all bytes copied so far
    size_t offset, size;
    std::shared_ptr<const void> owner;  // goes when this piece has been sent
  };

  Stream(EventLoop& loop, int fd, StreamHandler* handler, std::unique_ptr<TlsSession> tls);
  void ArmRead();
  void ArmWrite();
  void OnReadable();
  void OnWritable();
  void OnInput(base::ByteView bytes);
  void OnInputEnd();
  void OnCiphertext(base::ByteView bytes);
  bool Handshake();
  void FailTls();
  void CountCiphertext();
  bool EncryptSome();
  bool SendSome();
  bool SendCiphertext();
  void DropSent(size_t bytes);
  void Compact();
  void StartLinger();

  EventLoop& loop_;
  std::unique_ptr<Descriptor> descriptor_;
  StreamHandler* handler_;
  std::unique_ptr<TlsSession> tls_;
  base::ByteBuffer copies_;
  size_t copies_start_ = 0;  // the Piece::offset of its first byte
  size_t copies_sent_ = 0;   // its first bytes that have left
  std::vector<Piece> pieces_;
  size_t first_piece_ = 0;  // the ones before have left
  size_t unsent_ = 0;       // in pieces_, and ciphertext
  size_t ciphertext_ = 0;   // of unsent_
  uint64_t sent_ = 0, discarded_ = 0;
  int fd_;
  bool is_client_ = false, connecting_ = false, reading_ = true, read_armed_ = false,
       write_armed_ = false;
  bool ended_ = false, closed_ = false, closing_ = false, lingering_ = false;
};

}  // namespace weft::net
