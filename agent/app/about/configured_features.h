// The features that follow from the settings alone: receivers, exporters, spool, console. What the
// kernel allows only a running source or a probe can tell.
#pragma once

#include <vector>

#include "app/about/features.h"
#include "app/settings.h"

namespace weft::app {

std::vector<Feature> ConfiguredFeatures(const Settings& settings);

}  // namespace weft::app
