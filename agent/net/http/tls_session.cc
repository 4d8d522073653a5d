#include "net/http/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"

namespace weft::net {
namespace {

constexpr size_t kKeptOutputBytes = 256 << 10;

// The reason of the oldest queued error; empties the queue.
std::string ErrorText() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return reason != nullptr ? reason : "unknown reason";
}

// ALPN's wire form: each name behind its length.
std::string WireNames(const std::vector<std::string>& protocols) {
  std::string out;
  for (const std::string& name : protocols) out.append(1, static_cast<char>(name.size())) += name;
  return out;
}

// The client's first choice decides nothing: ours does.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned offered_size, void* names) {
  const auto& ours = *static_cast<const std::string*>(names);
  auto* selected = const_cast<unsigned char*>(offered);
  int rc = SSL_select_next_proto(&selected, out_size,
                                 reinterpret_cast<const unsigned char*>(ours.data()),
                                 static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = selected;
  return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

base::Status Failed(const std::string& what, const std::string& file) {
  return base::Error("tls: " + what + " " + file + ": " + ErrorText());
}

base::Status LoadOwn(SSL_CTX* context, const TlsFiles& files, TlsSide side) {
  if (files.cert_file.empty() != files.key_file.empty()) {
    return base::Error("tls: cert_file and key_file go together");
  }
  if (files.cert_file.empty()) {
    return side == TlsSide::kClient ? base::Ok()
                                    : base::Error("tls: a server needs cert_file and key_file");
  }
  if (SSL_CTX_use_certificate_chain_file(context, files.cert_file.c_str()) != 1) {
    return Failed("certificate", files.cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Failed("key", files.key_file);
  }
  return base::Ok();
}

base::Status LoadTrust(SSL_CTX* context, const TlsFiles& files, TlsSide side) {
  const std::string& file = side == TlsSide::kClient ? files.ca_file : files.client_ca_file;
  if (!file.empty() && SSL_CTX_load_verify_file(context, file.c_str()) != 1) {
    return Failed("authorities", file);
  }
  if (side == TlsSide::kClient) {
    if (file.empty()) SSL_CTX_set_default_verify_paths(context);
    SSL_CTX_set_verify(context, files.insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       nullptr);
  } else if (!file.empty()) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(file.c_str()));
  }
  return base::Ok();
}

base::Result<TlsContext> LoadContext(const TlsFiles& files, TlsSide side,
                                     const std::string* wire_names) {
  ERR_clear_error();
  const bool is_server = side == TlsSide::kServer;
  TlsContext owned(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()),
                   SSL_CTX_free);
  SSL_CTX* context = owned.get();
  if (context == nullptr) return base::Error("tls: " + ErrorText());
  if (!files.min_version.empty() && files.min_version != "1.2" && files.min_version != "1.3") {
    return base::Error("tls: min_version is \"1.2\" or \"1.3\"");
  }
  SSL_CTX_set_min_proto_version(context,
                                files.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  // No resumption: a ticket would outlive a change of the authorities.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  if (base::Status status = LoadOwn(context, files, side); !status.ok()) return status;
  if (base::Status status = LoadTrust(context, files, side); !status.ok()) return status;
  if (is_server) {
    SSL_CTX_set_alpn_select_cb(context, SelectProtocol, const_cast<std::string*>(wire_names));
  } else {
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire_names->data()),
                            static_cast<unsigned>(wire_names->size()));
  }
  return owned;
}

bool IsAddress(const std::string& name) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str());
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

}  // namespace

TlsCredentials::TlsCredentials(TlsFiles files, TlsSide side,
                               const std::vector<std::string>& protocols)
    : files_(std::move(files)), side_(side), wire_names_(WireNames(protocols)) {}

std::string TlsCredentials::Fingerprint() const {
  std::string out;
  for (const std::string* file :
       {&files_.cert_file, &files_.key_file, &files_.ca_file, &files_.client_ca_file}) {
    struct stat s {};
    if (!file->empty()) stat(file->c_str(), &s);
    for (int64_t part :
         {static_cast<int64_t>(s.st_ino), static_cast<int64_t>(s.st_size),
          static_cast<int64_t>(s.st_mtim.tv_sec), static_cast<int64_t>(s.st_mtim.tv_nsec)}) {
      out.append(std::to_string(part)).push_back(' ');
    }
  }
  return out;
}

base::Result<TlsContext> TlsCredentials::Current(Time now) {
  if (context_ != nullptr && now < next_check_) return context_;
  next_check_ = now + files_.reload_interval;
  std::string fingerprint = Fingerprint();
  if (context_ != nullptr && fingerprint == fingerprint_) return context_;
  auto loaded = LoadContext(files_, side_, &wire_names_);
  if (!loaded.ok()) {
    if (context_ == nullptr) return loaded.status();
    // Once per change, not per connection. Half of a new pair may just not be there yet: the other
    // half's coming is a change again.
    fingerprint_ = std::move(fingerprint);
    ++failed_reloads_;
    spdlog::error("{}; the files read before stay in use", std::string(loaded.status().message()));
    return context_;
  }
  if (context_ != nullptr) ++reloads_;
  fingerprint_ = std::move(fingerprint);
  context_ = std::move(*loaded);
  return context_;
}

// OpenSSL's side of a TlsSession: it reads from `input_` and writes to `output_`.
struct TlsPipe {
  static TlsSession& Self(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }
  static int Write(BIO* bio, const char* data, int size) {
    Self(bio).output_.Append({reinterpret_cast<const uint8_t*>(data), static_cast<size_t>(size)});
    return size;
  }
  static int Read(BIO* bio, char* out, int size) {
    base::ByteView& input = Self(bio).input_;
    BIO_clear_retry_flags(bio);
    if (input.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    size_t n = std::min(input.size(), static_cast<size_t>(size));
    std::memcpy(out, input.data(), n);
    input = input.subspan(n);
    return static_cast<int>(n);
  }
  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO* Make(TlsSession* session) {
    static BIO_METHOD* const kMethod = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft pipe");
      BIO_meth_set_write(method, Write);
      BIO_meth_set_read(method, Read);
      BIO_meth_set_ctrl(method, Control);
      return method;
    }();
    BIO* bio = BIO_new(kMethod);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsSession::TlsSession(const TlsContext& context, TlsSide side, const std::string& server_name,
                       bool verify)
    : ssl_(SSL_new(context.get())) {
  if (ssl_ == nullptr) return;
  BIO* bio = TlsPipe::Make(this);
  SSL_set_bio(ssl_, bio, bio);
  if (side == TlsSide::kServer) {
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  const bool is_address = IsAddress(server_name);
  if (!is_address) SSL_set_tlsext_host_name(ssl_, server_name.c_str());
  if (!verify) return;
  bool is_checked = !server_name.empty();  // OpenSSL takes no name for "any name"
  if (is_address) {
    is_checked = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str()) == 1;
  } else if (is_checked) {
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    is_checked = SSL_set1_host(ssl_, server_name.c_str()) == 1;
  }
  if (is_checked) return;
  SSL_free(ssl_);
  ssl_ = nullptr;
  error_ = "no name to check the certificate for";
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

void TlsSession::Fail(int code) {
  long verified = SSL_get_verify_result(ssl_);
  if (code == SSL_ERROR_SSL && verified != X509_V_OK) {
    error_ = X509_verify_cert_error_string(verified);
    ERR_clear_error();
  } else {
    error_ = ErrorText();
  }
}

TlsSession::Step TlsSession::Handshake() {
  if (ready_) return Step::kDone;
  if (ssl_ == nullptr) {
    if (error_.empty()) error_ = "out of memory";
    return Step::kFailed;
  }
  ERR_clear_error();
  int rc = SSL_do_handshake(ssl_);
  if (rc == 1) {
    ready_ = true;
    return Step::kDone;
  }
  int code = SSL_get_error(ssl_, rc);
  if (code == SSL_ERROR_WANT_READ) return Step::kWait;
  Fail(code);
  return Step::kFailed;
}

ssize_t TlsSession::ReadPlain(std::span<uint8_t> out) {
  ERR_clear_error();
  size_t total = 0;
  while (total < out.size()) {
    size_t n = 0;
    int rc = SSL_read_ex(ssl_, out.data() + total, out.size() - total, &n);
    if (rc == 1) {
      total += n;
      continue;
    }
    int code = SSL_get_error(ssl_, rc);
    if (total > 0 || code == SSL_ERROR_WANT_READ) break;  // an end is told by the next call
    if (code == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
    } else {
      Fail(code);
    }
    return -1;
  }
  return static_cast<ssize_t>(total);
}

bool TlsSession::WritePlain(base::ByteView plaintext) {
  ERR_clear_error();
  size_t written = 0;
  int rc = SSL_write_ex(ssl_, plaintext.data(), plaintext.size(), &written);
  if (rc == 1 && written == plaintext.size()) return true;
  Fail(SSL_get_error(ssl_, rc));
  return false;
}

void TlsSession::Finish() {
  if (!ready_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

void TlsSession::DropOutput(size_t bytes) {
  output_sent_ += bytes;
  if (output_sent_ < output_.size()) return;
  output_sent_ = 0;
  output_.clear();
  if (output_.capacity() > kKeptOutputBytes) output_ = base::ByteBuffer();
}

}  // namespace weft::net
