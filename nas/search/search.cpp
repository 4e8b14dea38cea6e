// SPDX-License-Identifier: MIT
#include "nas/search/search.h"

#include "nas/run/session.h"
#include "nas/search/search_task.h"

namespace drnas {

SearchResult run_search(const SearchOptions& options, SearchObserver& observer) {
  return run_session<SearchTask>(options, observer);
}

}  // namespace drnas
