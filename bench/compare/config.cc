#include "compare/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "protocol.h"

namespace weft::bench {
namespace {

struct Mistake : std::runtime_error {
  Mistake(const YAML::Mark& at, const std::string& what)
      : std::runtime_error(std::to_string(std::max(at.line, 0) + 1) + ": " + what) {}
};

// A map whose keys must all be asked for: what is left over is a mistake of the file.
class Section {
 public:
  Section(const YAML::Node& node, const std::string& name) : node_(node), name_(name) {
    if (!node.IsMap()) throw Mistake(node.Mark(), name + ": a map is expected");
    for (const auto& entry : node)
      if (!seen_.insert(entry.first.as<std::string>()).second)
        throw Mistake(entry.first.Mark(), name + ": " + entry.first.Scalar() + " stands twice");
  }
  // What `key` holds; undefined when it is absent.
  YAML::Node Get(const std::string& key) {
    seen_.erase(key);
    allowed_ += (allowed_.empty() ? "" : ", ") + key;
    return node_[key];
  }
  YAML::Node Need(const std::string& key) {
    YAML::Node node = Get(key);
    if (!node.IsDefined()) throw Mistake(node_.Mark(), name_ + ": " + key + " is missing");
    return node;
  }
  void Finish() const {
    for (const auto& entry : node_)
      if (seen_.contains(entry.first.Scalar()))
        throw Mistake(entry.first.Mark(),
                      name_ + ": unknown key " + entry.first.Scalar() + "; there are " + allowed_);
  }

 private:
  const YAML::Node node_;
  const std::string name_;
  std::set<std::string> seen_;
  std::string allowed_;
};

std::string Text(const YAML::Node& node, const std::string& name) {
  if (!node.IsScalar()) throw Mistake(node.Mark(), name + ": a text is expected");
  return node.Scalar();
}

double Number(const YAML::Node& node, const std::string& name, double least) {
  double value = 0;
  if (!node.IsScalar() || !YAML::convert<double>::decode(node, value))
    throw Mistake(node.Mark(), name + ": a number is expected");
  if (!(value >= least && value <= 1e12))
    throw Mistake(node.Mark(), name + ": " + node.Scalar() + " is out of range");
  return value;
}

std::vector<std::string> TextList(const YAML::Node& node, const std::string& name) {
  std::vector<std::string> out;
  if (!node.IsDefined()) return out;
  if (!node.IsSequence()) throw Mistake(node.Mark(), name + ": a list is expected");
  for (const YAML::Node& item : node) out.push_back(Text(item, name));
  return out;
}

Variables TextMap(const YAML::Node& node, const std::string& name) {
  Variables out;
  if (!node.IsDefined()) return out;
  if (!node.IsMap()) throw Mistake(node.Mark(), name + ": a map is expected");
  for (const auto& entry : node)
    out[Text(entry.first, name)] = Text(entry.second, name + "." + entry.first.Scalar());
  return out;
}

void CheckProtocol(const YAML::Node& node, const std::string& protocol) {
  const auto names = ProtocolNames();
  if (std::find(names.begin(), names.end(), protocol) != names.end()) return;
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  throw Mistake(node.Mark(), "unknown protocol " + protocol + "; there are " + all);
}

Receiver ReadReceiver(const YAML::Node& node) {
  Section section(node, "receivers");
  Receiver out;
  out.name = Text(section.Need("name"), "name");
  const YAML::Node command = section.Need("command");
  out.command = TextList(command, "command");
  if (out.command.empty()) throw Mistake(command.Mark(), "command: empty");
  out.ready = Text(section.Need("ready"), "ready");
  const YAML::Node endpoints = section.Need("endpoints");
  out.endpoints = TextMap(endpoints, "endpoints");
  for (const auto& entry : endpoints) CheckProtocol(entry.first, entry.first.Scalar());
  out.env = TextMap(section.Get("env"), "env");
  const YAML::Node files = section.Get("files");
  out.files = TextMap(files, "files");
  for (const auto& [name, content] : out.files)
    if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..")
      throw Mistake(files.Mark(), "files: " + name + " is not a plain file name");
  out.variables = TextMap(section.Get("variables"), "variables");
  section.Finish();
  return out;
}

void AddNumber(Section& section, const char* key, const char* option, double least,
               std::vector<std::string>* arguments) {
  const YAML::Node node = section.Get(key);
  if (!node.IsDefined()) return;
  Number(node, key, least);
  arguments->insert(arguments->end(), {option, node.Scalar()});
}

void ReadSink(const YAML::Node& node, std::vector<std::string>* arguments) {
  if (!node.IsDefined()) return;
  Section section(node, "sink");
  AddNumber(section, "delay_ms", "--delay-ms", 0, arguments);
  AddNumber(section, "refuse_percent", "--refuse-percent", 0, arguments);
  AddNumber(section, "up", "--up", 0, arguments);
  AddNumber(section, "down", "--down", 0, arguments);
  section.Finish();
}

Load ReadLoad(const YAML::Node& node) {
  Section section(node, "loads");
  Load out;
  out.name = Text(section.Need("name"), "name");
  const YAML::Node protocol = section.Need("protocol");
  out.protocol = Text(protocol, "protocol");
  CheckProtocol(protocol, out.protocol);
  auto* arguments = &out.arguments;
  AddNumber(section, "spans", "--spans", 1, arguments);
  AddNumber(section, "span_bytes", "--span-bytes", 0, arguments);
  AddNumber(section, "rate", "--rate", 0, arguments);
  AddNumber(section, "in_flight", "--in-flight", 1, arguments);
  const YAML::Node requests = section.Get("requests"), duration = section.Get("duration");
  if (requests.IsDefined() && duration.IsDefined())
    throw Mistake(duration.Mark(), out.name + ": requests or duration, not both");
  AddNumber(section, "requests", "--requests", 1, arguments);
  AddNumber(section, "duration", "--duration", 0.01, arguments);
  if (const YAML::Node compression = section.Get("compression"); compression.IsDefined())
    arguments->insert(arguments->end(), {"--compression", Text(compression, "compression")});
  if (const YAML::Node shape = section.Get("shape"); shape.IsDefined()) {
    if (!shape.IsMap()) throw Mistake(shape.Mark(), "shape: a map is expected");
    out.shape = YAML::Dump(shape);
  }
  ReadSink(section.Get("sink"), &out.sink_arguments);
  out.receivers = TextList(section.Get("receivers"), "receivers");
  out.variables = TextMap(section.Get("variables"), "variables");
  section.Finish();
  return out;
}

// Every ${name} of the file, keys too, must be something that a run can know.
void CheckNames(const YAML::Node& node, const std::set<std::string>& known) {
  if (node.IsSequence())
    for (const YAML::Node& item : node) CheckNames(item, known);
  if (node.IsMap())
    for (const auto& entry : node) CheckNames(entry.second, known);
  if (!node.IsScalar()) return;
  const std::string& text = node.Scalar();
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at + 2)) {
    const size_t end = text.find('}', at);
    if (end == std::string::npos) throw Mistake(node.Mark(), "${ without }");
    const std::string name = text.substr(at + 2, end - at - 2);
    if (name.starts_with("port:") && name.size() > 5) continue;
    if (name.starts_with("env:") && name.size() > 4) continue;
    if (!known.contains(name))
      throw Mistake(node.Mark(), "unknown ${" + name +
                                     "}: set it under variables or with --var, or use sink, dir, "
                                     "here, port:NAME, env:NAME");
  }
}

template <typename T>
void CheckDistinct(const std::vector<T>& items, const YAML::Node& node, const std::string& what) {
  if (items.empty()) throw Mistake(node.Mark(), what + ": empty");
  std::set<std::string> names;
  for (const T& item : items)
    if (!names.insert(item.name).second)
      throw Mistake(node.Mark(), what + ": " + item.name + " stands twice");
}

void Read(const YAML::Node& root, const Variables& overrides, Comparison* out) {
  Section section(root, "file");
  if (const YAML::Node node = section.Get("repeats"); node.IsDefined())
    out->repeats = static_cast<uint32_t>(Number(node, "repeats", 1));
  if (const YAML::Node node = section.Get("drain_seconds"); node.IsDefined())
    out->drain_seconds = Number(node, "drain_seconds", 0);
  if (const YAML::Node node = section.Get("start_seconds"); node.IsDefined())
    out->start_seconds = Number(node, "start_seconds", 0);
  out->variables = TextMap(section.Get("variables"), "variables");
  const YAML::Node receivers = section.Need("receivers"), loads = section.Need("loads");
  section.Finish();
  if (!receivers.IsSequence()) throw Mistake(receivers.Mark(), "receivers: a list is expected");
  if (!loads.IsSequence()) throw Mistake(loads.Mark(), "loads: a list is expected");
  for (const YAML::Node& node : receivers) out->receivers.push_back(ReadReceiver(node));
  for (const YAML::Node& node : loads) out->loads.push_back(ReadLoad(node));
  CheckDistinct(out->receivers, receivers, "receivers");
  CheckDistinct(out->loads, loads, "loads");

  std::set<std::string> known = {"sink", "dir", "here"};
  auto know = [&known](const Variables& variables) {
    for (const auto& [name, value] : variables) known.insert(name);
  };
  know(overrides), know(out->variables);
  for (const Receiver& receiver : out->receivers) know(receiver.variables);
  for (const Load& load : out->loads) know(load.variables);
  CheckNames(root, known);

  for (size_t i = 0; i < out->loads.size(); ++i) {
    const Load& load = out->loads[i];
    for (const std::string& name : load.receivers) {
      auto found = std::find_if(out->receivers.begin(), out->receivers.end(),
                                [&name](const Receiver& r) { return r.name == name; });
      if (found == out->receivers.end())
        throw Mistake(loads[i].Mark(), load.name + ": there is no receiver " + name);
      if (!found->endpoints.contains(load.protocol))
        throw Mistake(loads[i].Mark(),
                      load.name + ": " + name + " has no endpoint for " + load.protocol);
    }
    if (std::none_of(out->receivers.begin(), out->receivers.end(),
                     [&load](const Receiver& r) { return Takes(r, load); }))
      throw Mistake(loads[i].Mark(),
                    load.name + ": no receiver has an endpoint for " + load.protocol);
  }
}

}  // namespace

std::string ReadComparison(const std::string& file, const std::string& text,
                           const Variables& overrides, Comparison* out) {
  const size_t slash = file.rfind('/');
  out->folder = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  try {
    Read(YAML::Load(text), overrides, out);
  } catch (const Mistake& wrong) {
    return file + ":" + wrong.what();
  } catch (const YAML::Exception& wrong) {
    return file + ":" + std::to_string(std::max(wrong.mark.line, 0) + 1) + ": " + wrong.msg;
  }
  for (const auto& [name, value] : overrides) out->variables[name] = value;
  return "";
}

std::string Expand(std::string_view text,
                   const std::function<std::string(std::string_view)>& value_of) {
  std::string out;
  while (true) {
    const size_t at = text.find("${");
    const size_t end = at == std::string_view::npos ? at : text.find('}', at);
    if (end == std::string_view::npos) return out.append(text);
    out += text.substr(0, at);
    out += value_of(text.substr(at + 2, end - at - 2));
    text.remove_prefix(end + 1);
  }
}

bool Takes(const Receiver& receiver, const Load& load) {
  if (!receiver.endpoints.contains(load.protocol)) return false;
  return load.receivers.empty() || std::find(load.receivers.begin(), load.receivers.end(),
                                             receiver.name) != load.receivers.end();
}

}  // namespace weft::bench
