// Connection: one entry of the Normalizer's table. It brings both directions in order, decides
// which of them carries requests (the first in which a request head can begin), and feeds a Pairing
// from then on; what the kernel marks as HTTP/2, and what begins with its preface, goes to an
// Http2Pairing, as does an HTTP/1.1 connection that is upgraded to h2c. A connection that never
// speaks HTTP costs this struct and one comparison a Segment.
#pragma once

#include <array>
#include <memory>

#include "model/segment.h"
#include "normalize/dialogue.h"
#include "normalize/shared.h"
#include "normalize/stream.h"

namespace weft::normalize {

// Threads: one. Owns: its identity and Dialogue; `shared` outlives it.
class Connection {
 public:
  Connection(Shared& shared, std::shared_ptr<const model::Connection> identity)
      : shared_(shared), identity_(std::move(identity)) {}

  const model::Connection& identity() const { return *identity_; }
  void OnSegment(const model::Segment& segment);
  // The current pass (one drain of the rings) is over. What waited a whole pass for earlier bytes
  // goes on without them.
  void EndPass(uint64_t now_ns);
  // Must EndPass be called?
  bool needs_watch() const;
  bool is_closed() const { return is_closed_; }
  // Gives up what is held and finishes what is open.
  void Abandon(Outcome outcome);

  Connection* newer = nullptr;  // of the Normalizer's list
  Connection* older = nullptr;
  bool is_watched = false;

 private:
  struct Ending {
    bool is_due = false;
    uint64_t time_ns = 0, pass = 0;
  };

  Stream& stream(model::Direction direction) { return streams_[static_cast<size_t>(direction)]; }
  const Stream& stream(model::Direction direction) const {
    return streams_[static_cast<size_t>(direction)];
  }
  void OnData(const model::Segment& segment);
  bool MustWait(model::Direction direction, const Piece& piece) const;
  bool MayCarryRequests(model::Direction direction) const;
  void ReleaseResponsesBefore(model::Direction direction, const Piece& piece);
  void Deliver(model::Direction direction, const Piece& piece);
  bool ChooseRole(model::Direction direction, const Piece& piece);
  bool ChooseHttp2Role(model::Direction direction, const Piece& piece);
  bool IsHttp2(const Piece& piece) const;
  // The dialogue has left its protocol: for another one, or for good.
  void LeaveProtocol(model::Direction direction, Piece piece);
  // From now on plaintext of a TLS library: what was read before was the way there.
  void StartTls();
  // Delivers held pieces, in order of time, as long as one of them has its turn.
  void DeliverReady();
  bool IsReady(model::Direction direction) const;
  // Delivers the first held piece, whatever is missing before it.
  void ForceFirst(model::Direction direction);
  // Forces what came before `pass`, in order of time.
  void ForceUntil(uint64_t pass);
  void End(model::Direction direction);
  void Close();

  Shared& shared_;
  const std::shared_ptr<const model::Connection> identity_;
  std::array<Stream, 2> streams_;
  std::array<Ending, 2> endings_;
  Ending closing_;
  bool is_closed_ = false;
  bool is_tunnel_ = false;
  bool is_tls_ = false;
  model::WireProtocol protocol_ = model::WireProtocol::kHttp1;  // as the kernel says
  std::unique_ptr<Dialogue> dialogue_;
};

}  // namespace weft::normalize
