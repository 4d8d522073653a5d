// File descriptors: connections of clients must leave some for everything else, or exporters and
// spool stop while clients are idle.
#pragma once

#include <cstdint>

#include "app/about/features.h"
#include "app/settings.h"

namespace weft::app {

// The soft limit becomes the hard one, which many systems set far above it. The limit from now on.
uint64_t RaiseDescriptorLimit();
// What RaiseDescriptorLimit would make of it.
uint64_t DescriptorLimit();

// Cuts the receivers' max_connections so that all of them together leave a quarter of `limit` to
// collectors, spool, console and capture. Each keeps its share. True when something was cut.
bool FitConnections(uint64_t limit, Settings* settings);

// How many there are, and for how many connections that is enough.
Feature DescriptorFeature(uint64_t limit, const Settings& settings);

}  // namespace weft::app
