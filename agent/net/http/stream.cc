#include "net/http/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/address.h"
#include "net/event_loop.h"

namespace weft::net {
namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using WaitType = asio::posix::stream_descriptor;

namespace {

constexpr size_t kMaxPieces = 256;
constexpr int kReadsPerWake = 4;  // then the others get their turn
constexpr std::chrono::milliseconds kLingerTime{1000};
constexpr uint64_t kLingerBytes = 16 << 20;
constexpr size_t kRecordBytes = 16 << 10;    // of plaintext in one TLS record
constexpr size_t kEncryptBytes = 128 << 10;  // at once, before the kernel is asked to take it

}  // namespace

struct Stream::Descriptor {
  Descriptor(asio::io_context& context, int fd) : io(context, fd) {}
  asio::posix::stream_descriptor io;
};

Stream::Stream(EventLoop& loop, int fd, StreamHandler* handler, std::unique_ptr<TlsSession> tls)
    : loop_(loop),
      descriptor_(std::make_unique<Descriptor>(loop.context(), fd)),
      handler_(handler),
      tls_(std::move(tls)),
      fd_(fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

Stream::~Stream() = default;

std::shared_ptr<Stream> Stream::Adopt(EventLoop& loop, int fd, StreamHandler* handler,
                                      std::unique_ptr<TlsSession> tls) {
  std::shared_ptr<Stream> stream(new Stream(loop, fd, handler, std::move(tls)));
  stream->ArmRead();
  return stream;
}

std::shared_ptr<Stream> Stream::Connect(EventLoop& loop, const model::Endpoint& to,
                                        StreamHandler* handler, std::unique_ptr<TlsSession> tls) {
  SocketAddress address = ToSocketAddress(to);
  int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  std::shared_ptr<Stream> stream(new Stream(loop, fd, handler, std::move(tls)));
  stream->connecting_ = true;
  if (connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS) {
    stream->Close();
    return stream;
  }
  stream->ArmWrite();
  return stream;
}

void Stream::ArmRead() {
  if (read_armed_ || closed_ || ended_ || !(reading_ || lingering_)) return;
  read_armed_ = true;
  descriptor_->io.async_wait(WaitType::wait_read,
                             [self = shared_from_this()](const ErrorCode& error) {
                               self->read_armed_ = false;
                               if (!error && !self->closed_) self->OnReadable();
                             });
}

void Stream::ArmWrite() {
  if (write_armed_ || closed_) return;
  write_armed_ = true;
  descriptor_->io.async_wait(WaitType::wait_write,
                             [self = shared_from_this()](const ErrorCode& error) {
                               self->write_armed_ = false;
                               if (!error && !self->closed_) self->OnWritable();
                             });
}

void Stream::OnReadable() {
  std::span<uint8_t> buffer = loop_.receive_buffer();
  for (int i = 0; i < kReadsPerWake && !closed_ && (reading_ || lingering_); ++i) {
    ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) Close();
      break;
    }
    if (n == 0) {
      OnInputEnd();
      break;
    }
    OnInput({buffer.data(), static_cast<size_t>(n)});
    if (static_cast<size_t>(n) < buffer.size()) break;
  }
  ArmRead();
}

void Stream::OnInput(base::ByteView bytes) {
  if (closing_) {
    discarded_ += bytes.size();
    if (discarded_ > kLingerBytes) Close();
  } else if (tls_ != nullptr) {
    OnCiphertext(bytes);
  } else if (handler_ != nullptr) {
    handler_->OnBytes(bytes);
  }
}

void Stream::OnInputEnd() {
  if (std::exchange(ended_, true)) return;
  if (closing_ || handler_ == nullptr) {
    if (unsent_ == 0) Close();
  } else if (tls_ != nullptr && !tls_->ready()) {
    Close();
  } else {
    handler_->OnEnd();
  }
}

void Stream::OnCiphertext(base::ByteView bytes) {
  tls_->Receive(bytes);
  if (!tls_->ready() && !Handshake()) return;
  while (!closed_ && !closing_) {
    std::span<uint8_t> plain = loop_.plaintext_buffer();
    ssize_t n = tls_->ReadPlain(plain);
    if (n == 0) break;
    if (n < 0) {
      if (!tls_->ended()) return FailTls();
      OnInputEnd();
      break;
    }
    if (handler_ != nullptr) handler_->OnBytes({plain.data(), static_cast<size_t>(n)});
  }
  if (!closed_) Flush();  // alerts and key updates
}

// True once it is done.
bool Stream::Handshake() {
  TlsSession::Step step = tls_->Handshake();
  CountCiphertext();
  if (step == TlsSession::Step::kFailed) return FailTls(), false;
  if (step == TlsSession::Step::kDone && is_client_ && handler_ != nullptr) {
    handler_->OnConnected();
  }
  Flush();
  return step == TlsSession::Step::kDone && !closed_;
}

// What OpenSSL has put into its output by itself.
void Stream::CountCiphertext() {
  unsent_ += tls_->output().size() - ciphertext_;
  ciphertext_ = tls_->output().size();
}

// The alert goes out if the kernel takes it at once; then the connection is over.
void Stream::FailTls() {
  if (base::ByteView alert = tls_->output(); !alert.empty()) {
    (void)send(fd_, alert.data(), alert.size(), MSG_NOSIGNAL);
  }
  if (handler_ != nullptr) handler_->OnTlsFailed(tls_->error());
  Close();
}

void Stream::OnWritable() {
  if (connecting_) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Close();
    connecting_ = false;
    ArmRead();
    if (tls_ != nullptr) {
      is_client_ = true;
      Handshake();
    } else if (handler_ != nullptr) {
      handler_->OnConnected();
    }
    return;
  }
  Flush();
  if (!closed_ && unsent_ == 0 && handler_ != nullptr && !closing_) handler_->OnDrained();
}

void Stream::Append(base::ByteView bytes) {
  if (bytes.empty() || closed_ || closing_) return;
  bool extend = first_piece_ < pieces_.size() && pieces_.back().data == nullptr;
  if (extend) {
    pieces_.back().size += bytes.size();
  } else {
    pieces_.push_back({nullptr, copies_start_ + copies_.size(), bytes.size(), nullptr});
  }
  copies_.Append(bytes);
  unsent_ += bytes.size();
}

void Stream::AppendBorrowed(std::span<const base::ByteView> pieces,
                            const std::shared_ptr<const void>& owner) {
  if (closed_ || closing_) return;
  bool any = false;
  for (base::ByteView piece : pieces) {
    if (piece.empty()) continue;
    pieces_.push_back({piece.data(), 0, piece.size(), nullptr});
    unsent_ += piece.size();
    any = true;
  }
  if (any) pieces_.back().owner = owner;  // pieces leave in order: one reference is enough
}

// Turns pieces into records, full ones as far as possible.
bool Stream::EncryptSome() {
  std::array<uint8_t, kRecordBytes> record;
  const size_t pieces_bytes = unsent_ - ciphertext_;
  for (size_t done = 0; done < std::min(pieces_bytes, kEncryptBytes);) {
    auto data_of = [&](const Piece& piece) {
      return piece.data != nullptr ? piece.data : copies_.data() + (piece.offset - copies_start_);
    };
    base::ByteView next{data_of(pieces_[first_piece_]), pieces_[first_piece_].size};
    if (next.size() >= kRecordBytes) {
      next = next.first(std::min(next.size() / kRecordBytes * kRecordBytes, kEncryptBytes));
    } else {
      size_t filled = 0;
      for (size_t i = first_piece_; i < pieces_.size() && filled < kRecordBytes; ++i) {
        size_t n = std::min(pieces_[i].size, kRecordBytes - filled);
        std::memcpy(record.data() + filled, data_of(pieces_[i]), n);
        filled += n;
      }
      next = {record.data(), filled};
    }
    if (!tls_->WritePlain(next)) return FailTls(), false;
    done += next.size();
    DropSent(next.size());
  }
  return true;
}

bool Stream::SendCiphertext() {
  if (tls_->output().empty() && (!tls_->ready() || !EncryptSome())) return false;
  CountCiphertext();
  base::ByteView output = tls_->output();
  ssize_t sent = send(fd_, output.data(), output.size(), MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EINTR) return true;
    if (errno == EAGAIN) {
      ArmWrite();
    } else {
      Close();
    }
    return false;
  }
  sent_ += static_cast<size_t>(sent);
  tls_->DropOutput(static_cast<size_t>(sent));
  unsent_ -= static_cast<size_t>(sent);
  ciphertext_ -= static_cast<size_t>(sent);
  Compact();
  return true;
}

// False when the kernel takes no more for now, or the stream is closed.
bool Stream::SendSome() {
  if (tls_ != nullptr) return SendCiphertext();
  std::array<iovec, kMaxPieces> parts;
  size_t count = 0;
  for (size_t i = first_piece_; i < pieces_.size() && count < kMaxPieces; ++i, ++count) {
    const Piece& piece = pieces_[i];
    const uint8_t* data =
        piece.data != nullptr ? piece.data : copies_.data() + (piece.offset - copies_start_);
    parts[count] = {const_cast<uint8_t*>(data), piece.size};
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EINTR) return true;
    if (errno == EAGAIN) {
      ArmWrite();
    } else {
      Close();
    }
    return false;
  }
  sent_ += static_cast<size_t>(sent);
  DropSent(static_cast<size_t>(sent));
  Compact();
  return true;
}

void Stream::DropSent(size_t bytes) {
  unsent_ -= bytes;
  while (bytes > 0) {
    Piece& piece = pieces_[first_piece_];
    size_t taken = std::min(bytes, piece.size);
    if (piece.data != nullptr) {
      piece.data += taken;
    } else {
      piece.offset += taken;
      copies_sent_ += taken;
    }
    piece.size -= taken;
    bytes -= taken;
    if (piece.size > 0) continue;
    piece.owner.reset();
    ++first_piece_;
  }
}

// A slow reader may never let us run empty, so what has left must go before that. Only when it is
// more than what stays: then each byte and piece is moved about once.
void Stream::Compact() {
  if (first_piece_ > pieces_.size() / 2) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_piece_));
    first_piece_ = 0;
  }
  if (copies_sent_ > copies_.size() / 2) {
    size_t stays = copies_.size() - copies_sent_;
    std::memmove(copies_.data(), copies_.data() + copies_sent_, stays);
    copies_.Truncate(stays);
    copies_start_ += std::exchange(copies_sent_, 0);
  }
}

void Stream::Flush() {
  if (closed_ || connecting_) return;
  // OpenSSL has words of its own, too.
  if (tls_ != nullptr) CountCiphertext();
  while (unsent_ > 0) {
    if (!SendSome()) return;
  }
  pieces_.clear();
  first_piece_ = 0;
  copies_.clear();
  copies_start_ = copies_sent_ = 0;
  if (copies_.capacity() > 2 * kHighWater) copies_ = base::ByteBuffer();
  if (closing_ && !lingering_) StartLinger();
}

void Stream::SetReading(bool reading) {
  reading_ = reading;
  if (reading) ArmRead();
}

void Stream::Close() {
  if (closed_) return;
  closed_ = true;
  unsent_ = 0;
  ErrorCode ignored;
  descriptor_->io.close(ignored);
  loop_.Post([self = shared_from_this()] {
    self->pieces_.clear();
    if (StreamHandler* handler = std::exchange(self->handler_, nullptr)) handler->OnClosed();
  });
}

void Stream::CloseAfterFlush() {
  if (closed_ || closing_) return;
  Flush();
  closing_ = true;
  if (!closed_ && unsent_ == 0) StartLinger();
}

void Stream::StartLinger() {
  lingering_ = true;
  if (tls_ != nullptr) {
    tls_->Finish();
    base::ByteView goodbye = tls_->output();
    if (!goodbye.empty()) (void)send(fd_, goodbye.data(), goodbye.size(), MSG_NOSIGNAL);
  }
  shutdown(fd_, SHUT_WR);
  if (ended_) return Close();
  loop_.RunAfter(kLingerTime, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Close();
  });
  ArmRead();
}

}  // namespace weft::net
