// SPDX-License-Identifier: Apache-2.0
// What a constrained answer may go on with. The engine asks for a mask before it chooses each token
// and tells what it chose; how grammars are written and compiled is not its business.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace ingot {

// One answer's way through a grammar. Used by one thread at a time.
class GrammarMatcher {
 public:
  virtual ~GrammarMatcher() = default;
  // A matcher in the same state; every choice of a request with n > 1 has its own.
  virtual std::unique_ptr<GrammarMatcher> Clone() const = 0;
  // Sets bit i of the mask (bit i % 32 of word i / 32) where token i may come next and clears the
  // others. The mask has at least one bit per token of the vocabulary; bits of ids that no token
  // has are cleared. A complete text allows the end-of-turn tokens.
  virtual void FillMask(std::span<uint32_t> mask) = 0;
  // The token was chosen. False when the grammar does not allow it (a defect, the answer ends with
  // an error).
  virtual bool Accept(int32_t token) = 0;
  // Nothing may follow but the end of the turn.
  virtual bool IsFinished() const = 0;
};

}  // namespace ingot
