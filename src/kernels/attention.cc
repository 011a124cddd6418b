// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace ingot {
namespace {

size_t Blocks(size_t n, size_t size) { return (n + size - 1) / size; }

// Rows [begin, end) of one kv head; row = token * group + g, so that neighbours see almost the same
// keys and the query heads of a group share one pass over them.
struct RowBlock {
  const AttentionJob* job;
  size_t head, begin, end;

  size_t size() const { return end - begin; }
  size_t Visible(size_t i) const {
    const size_t token = (begin + i) / job->group;
    return job->causal ? job->n_keys - job->n_queries + token + 1 : job->n_keys;
  }
  size_t Offset(size_t i, size_t stride) const {
    const size_t row = begin + i;
    return row / job->group * stride +
           (head * job->group + row % job->group) * job->layout.head_dim;
  }
  float* Out(size_t i) const { return job->out + Offset(i, job->out_stride); }
};

using RowSums = std::array<AttentionSums, kAttentionRows>;

// The rows' results over keys of one block: row i goes to outs(i) and sums[i]. Rows that see none of
// its keys are left alone.
template <typename Outs>
void RunKeys(const RowBlock& rows, size_t block, Outs outs, AttentionSums* sums, Scratch* scratch) {
  const AttentionJob& job = *rows.job;
  const AttentionLayout& layout = job.layout;
  const float* q[kAttentionRows];
  float* out[kAttentionRows];
  int32_t n_keys[kAttentionRows];
  const size_t first_key = block * kAttentionBlock;
  size_t most = 0, first = 0;  // later rows see more
  while (first < rows.size() && rows.Visible(first) <= first_key) ++first;
  for (size_t i = first; i < rows.size(); ++i) {
    const size_t visible = std::min(rows.Visible(i) - first_key, kAttentionBlock);
    q[i] = job.q + rows.Offset(i, job.q_stride);
    out[i] = outs(i);
    n_keys[i] = static_cast<int32_t>(visible);
    most = std::max(most, visible);
  }
  if (most == 0) return;
  const AttentionArgs args = {
      .n_rows = rows.size() - first,
      .q = q + first,
      .out = out + first,
      .n_keys = n_keys + first,
      .head_dim = layout.head_dim,
      .scale = job.scale,
      .pages = job.pages + first_key / kAttentionPage,
      .key_offset = job.offset + rows.head * layout.KeyBytes(),
      .value_offset =
          job.offset + layout.n_kv_heads * layout.KeyBytes() + rows.head * layout.ValueBytes(),
      .scratch = reinterpret_cast<float*>(scratch->Get(
          kAttentionRows * AttentionScratch(most, layout.head_dim) * sizeof(float))),
      .sums = sums + first};
  switch (layout.type) {
    case KvType::kF32:
      return Kernels().attention_f32(args);
    case KvType::kBF16:
      return Kernels().attention_bf16(args);
    case KvType::kInt8:
      return Kernels().attention_i8(args);
  }
}

// Puts the result of later keys to that of earlier ones: out and sums become those of all.
void Join(const float* later, const AttentionSums& more, size_t dim, float* __restrict out,
          AttentionSums* sums) {
  const float largest = std::max(sums->largest, more.largest);
  const float before = sums->total * std::exp(sums->largest - largest),
              after = more.total * std::exp(more.largest - largest), total = before + after;
  const float a = before / total, b = after / total;
  for (size_t d = 0; d < dim; ++d) out[d] = a * out[d] + b * later[d];
  *sums = {largest, total};
}

// Results of one block of rows over the keys of one block.
struct Partial {
  float* values;  // [kAttentionRows, head_dim]
  AttentionSums* sums;
};
size_t PartialFloats(size_t dim) { return kAttentionRows * (dim + 2); }
Partial PartialAt(float* data, size_t dim) {
  return {data, reinterpret_cast<AttentionSums*>(data + kAttentionRows * dim)};
}

void JoinRows(const RowBlock& rows, size_t block, const Partial& later, AttentionSums* sums) {
  const size_t dim = rows.job->layout.head_dim;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows.Visible(i) > block * kAttentionBlock)
      Join(later.values + i * dim, later.sums[i], dim, rows.Out(i), &sums[i]);
  }
}

struct ThreadScratch {
  Scratch kernel, partial;
};

// All keys, block by block.
void RunRows(const RowBlock& rows, ThreadScratch* scratch) {
  RowSums sums;
  const auto outs = [&](size_t i) { return rows.Out(i); };
  RunKeys(rows, 0, outs, sums.data(), &scratch->kernel);
  const size_t dim = rows.job->layout.head_dim;
  for (size_t block = 1; block < Blocks(rows.Visible(rows.size() - 1), kAttentionBlock); ++block) {
    const Partial later = PartialAt(
        reinterpret_cast<float*>(scratch->partial.Get(PartialFloats(dim) * sizeof(float))), dim);
    RunKeys(rows, block, [&](size_t i) { return later.values + i * dim; }, later.sums,
            &scratch->kernel);
    JoinRows(rows, block, later, sums.data());
  }
}

// One job of a call. Its pieces are blocks of rows of one kv head with all of their keys; or, when
// such a piece would keep one thread busy while others have nothing left, with one block of keys.
struct Plan {
  size_t row_blocks = 0;
  size_t key_blocks = 1;
  size_t end = 0;  // pieces of jobs up to and with this one
  size_t first_partial = 0, first_count = 0;  // of a split job: floats; pieces left to do
};

// A call's plans and the results of split jobs, kept by the calling thread.
struct Call {
  std::vector<Plan> plans;
  std::vector<uint32_t> left;  // key blocks that are not done, for each block of rows of a head
  Scratch partials;
  float* partial_data = nullptr;
  size_t pieces = 0;
};

size_t JobRows(const AttentionJob& job) { return job.n_queries * job.group; }

// Row blocks times keys: what a piece with all keys costs.
size_t PieceCost(const AttentionJob& job) {
  return std::min(JobRows(job), kAttentionRows) * job.n_keys;
}

void MakePlans(std::span<const AttentionJob> jobs, Call* call) {
  // A piece that is more than a quarter of a thread's share is split.
  const size_t threads = static_cast<size_t>(NumThreads());
  size_t total = 0;
  for (const AttentionJob& job : jobs) total += JobRows(job) * job.n_keys * job.layout.n_kv_heads;
  const size_t most = threads == 1 ? total : total / (4 * threads);
  size_t floats = 0;
  call->plans.clear();
  call->left.clear();
  call->pieces = 0;
  for (const AttentionJob& job : jobs) {
    if (job.layout.head_dim % 2 != 0)
      throw InternalError("attention: head size {}, expected an even one", job.layout.head_dim);
    Plan plan{.row_blocks = Blocks(JobRows(job), kAttentionRows)};
    const size_t row_pieces = plan.row_blocks * job.layout.n_kv_heads;
    if (job.n_keys > kAttentionBlock && PieceCost(job) > most) {
      plan.key_blocks = Blocks(job.n_keys, kAttentionBlock);
      plan.first_partial = floats;
      plan.first_count = call->left.size();
      floats += row_pieces * plan.key_blocks * PartialFloats(job.layout.head_dim);
      call->left.insert(call->left.end(), row_pieces, static_cast<uint32_t>(plan.key_blocks));
    }
    call->pieces += row_pieces * plan.key_blocks;
    plan.end = call->pieces;
    call->plans.push_back(plan);
  }
  call->partial_data = reinterpret_cast<float*>(call->partials.Get(floats * sizeof(float)));
}

// One block of keys of a split job; who does the last one of a block of rows joins them all.
void RunSplitPiece(const RowBlock& rows, const Plan& plan, size_t row_piece, size_t block,
                   Call* call, ThreadScratch* scratch) {
  const size_t dim = rows.job->layout.head_dim, size = PartialFloats(dim);
  float* data = call->partial_data + plan.first_partial + row_piece * plan.key_blocks * size;
  const auto partial = [&](size_t of) { return PartialAt(data + of * size, dim); };
  const Partial own = partial(block);
  RunKeys(rows, block,
          [&](size_t i) { return block == 0 ? rows.Out(i) : own.values + i * dim; }, own.sums,
          &scratch->kernel);
  std::atomic_ref<uint32_t> left(call->left[plan.first_count + row_piece]);
  if (left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (size_t later = 1; later < plan.key_blocks; ++later)
    JoinRows(rows, later, partial(later), partial(0).sums);
}

void RunPiece(std::span<const AttentionJob> jobs, size_t piece, Call* call,
              ThreadScratch* scratch) {
  const auto found =
      std::upper_bound(call->plans.begin(), call->plans.end(), piece,
                       [](size_t value, const Plan& plan) { return value < plan.end; });
  const auto index = static_cast<size_t>(found - call->plans.begin());
  const Plan& plan = *found;
  const AttentionJob& job = jobs[index];
  const size_t local = piece - (index == 0 ? 0 : call->plans[index - 1].end),
               row_piece = local / plan.key_blocks, head = row_piece / plan.row_blocks,
               block = plan.row_blocks - 1 - row_piece % plan.row_blocks;
  const RowBlock rows{.job = &job,
                      .head = head,
                      .begin = block * kAttentionRows,
                      .end = std::min(JobRows(job), (block + 1) * kAttentionRows)};
  if (plan.key_blocks == 1) {
    RunRows(rows, scratch);
  } else {
    RunSplitPiece(rows, plan, row_piece, local % plan.key_blocks, call, scratch);
  }
}

}  // namespace

void RunAttention(std::span<const AttentionJob> jobs) {
  thread_local Call calls_of_thread;
  Call* call = &calls_of_thread;
  MakePlans(jobs, call);
  // Whoever is free takes the next piece. Blocks of one head follow each other, so that its keys and
  // values stay in the cache; the last ones of a causal job, the longest, come first.
  std::atomic<size_t> next = 0;
  ParallelFor(std::min(call->pieces, static_cast<size_t>(NumThreads())), 1, [&](size_t, size_t) {
    thread_local ThreadScratch scratch;
    for (size_t piece = next++; piece < call->pieces; piece = next++)
      RunPiece(jobs, piece, call, &scratch);
  });
}

}  // namespace ingot
