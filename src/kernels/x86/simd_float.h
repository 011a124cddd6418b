// SPDX-License-Identifier: Apache-2.0
// The float kernels over a vector type V (x86/avx2.cc and x86/avx512.cc say what differs). Included
// inside an anonymous namespace of each; uses nothing of the standard library that could be emitted
// out of line.

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

template <typename V>
inline typename V::F LoadAs(const float* p) {
  return V::Load(p);
}
template <typename V>
inline typename V::F LoadAs(const Bf16* p) {
  return V::LoadBf16(&p->bits);
}
template <typename V>
inline typename V::F LoadAs(const F16* p) {
  return V::LoadF16(&p->bits);
}
template <typename V>
inline typename V::F LoadAsN(const float* p, size_t n) {
  return V::LoadN(p, n);
}
template <typename V>
inline typename V::F LoadAsN(const Bf16* p, size_t n) {
  return V::LoadBf16N(&p->bits, n);
}
template <typename V>
inline typename V::F LoadAsN(const F16* p, size_t n) {
  return V::LoadF16N(&p->bits, n);
}

// Dot policy of simd_matmul.h for float sums.
template <typename V, typename XT, typename WT>
struct FloatDot {
  using X = XT;
  using W = WT;
  using Y = float;
  using Vec = typename V::F;
  using Acc = typename V::F;
  static constexpr size_t kStep = V::kLanes, kBlockK = 512;
  static inline Acc Zero() { return V::Zero(); }
  static inline Vec LoadX(const X* p) { return LoadAs<V>(p); }
  static inline Vec LoadXN(const X* p, size_t n) { return LoadAsN<V>(p, n); }
  static inline Vec LoadW(const W* p) { return LoadAs<V>(p); }
  static inline Vec LoadWN(const W* p, size_t n) { return LoadAsN<V>(p, n); }
  static inline Acc MulAdd(Vec x, Vec w, Acc acc) { return V::Fma(x, w, acc); }
  static inline void Pin(Vec& v) { V::Pin(v); }
  static inline void Reduce8(Acc a, Acc b, Acc c, Acc d, Acc e, Acc f, Acc g, Acc h, float* out) {
    V::Reduce8(a, b, c, d, e, f, g, h, out);
  }
  // For policies with W = float: a row of narrower elements widened.
  template <typename Narrow>
  static inline void WidenRow(const Narrow* w, size_t n, float* out) {
    size_t k = 0;
    for (; k + kStep <= n; k += kStep) V::Store(out + k, LoadAs<V>(w + k));
    if (k < n) V::StoreN(out + k, LoadAsN<V>(w + k, n - k), n - k);
  }
};

template <typename V, typename X, typename W>
inline void FloatMatmul(const X* x, size_t ldx, size_t rows, const W* w, size_t n_out,
                        size_t k_size, const float* bias, float* y, size_t ldy) {
  MatmulAny<FloatDot<V, X, W>, FloatDot<V, X, float>, V::kTileM, V::kTileN>(x, ldx, rows, w, n_out,
                                                                            k_size, bias, y, ldy);
}

template <typename V>
void MatmulF32(const float* x, size_t ldx, size_t rows, const float* w, size_t n_out, size_t k_size,
               const float* bias, float* y, size_t ldy) {
  FloatMatmul<V>(x, ldx, rows, w, n_out, k_size, bias, y, ldy);
}
template <typename V>
void MatmulF32Bf16(const float* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                   size_t k_size, const float* bias, float* y, size_t ldy) {
  FloatMatmul<V>(x, ldx, rows, reinterpret_cast<const Bf16*>(w), n_out, k_size, bias, y, ldy);
}
template <typename V>
void MatmulF32F16(const float* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                  size_t k_size, const float* bias, float* y, size_t ldy) {
  FloatMatmul<V>(x, ldx, rows, reinterpret_cast<const F16*>(w), n_out, k_size, bias, y, ldy);
}
template <typename V>
void MatmulBf16(const uint16_t* x, size_t ldx, size_t rows, const uint16_t* w, size_t n_out,
                size_t k_size, const float* bias, float* y, size_t ldy) {
  FloatMatmul<V>(reinterpret_cast<const Bf16*>(x), ldx, rows, reinterpret_cast<const Bf16*>(w),
                 n_out, k_size, bias, y, ldy);
}

// e^x to about 1 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, polynomial in r (Cephes expf). Results stay
// in the normal range: below e^-87.3 and above e^88.3 they are held there. NaN passes through.
template <typename V>
inline typename V::F Exp(typename V::F x) {
  x = V::Min(V::Set1(88.3762626f), V::Max(V::Set1(-87.3365448f), x));
  const auto n = V::Round(V::Mul(x, V::Set1(1.44269504088896341f)));
  auto r = V::Fma(n, V::Set1(-0.693359375f), x);
  r = V::Fma(n, V::Set1(2.12194440e-4f), r);
  auto p = V::Set1(1.9875691500e-4f);
  p = V::Fma(p, r, V::Set1(1.3981999507e-3f));
  p = V::Fma(p, r, V::Set1(8.3334519073e-3f));
  p = V::Fma(p, r, V::Set1(4.1665795894e-2f));
  p = V::Fma(p, r, V::Set1(1.6666665459e-1f));
  p = V::Fma(p, r, V::Set1(5.0000001201e-1f));
  p = V::Fma(p, V::Mul(r, r), V::Add(r, V::Set1(1.0f)));
  return V::TimesPow2(p, n);
}

// Calls body(p, n) on vectors of [0, n); n is kLanes but for the last.
template <typename V, typename Body>
[[gnu::always_inline]] inline void ForVectors(size_t n, Body body) {
  size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) body(i, V::kLanes);
  if (i < n) body(i, n - i);
}
template <typename V>
inline typename V::F LoadPart(const float* p, size_t n) {
  return n == V::kLanes ? V::Load(p) : V::LoadN(p, n);
}
template <typename V>
inline void StorePart(float* p, typename V::F v, size_t n) {
  if (n == V::kLanes) {
    V::Store(p, v);
  } else {
    V::StoreN(p, v, n);
  }
}

// x[i] = e^(x[i] - max x); returns max x and the sum.
template <typename V>
inline AttentionSums ExpSums(float* x, size_t n) {
  auto top = V::Set1(x[0]);
  ForVectors<V>(n, [&](size_t i, size_t part) {
    top = V::Max(top, V::Select(part, LoadPart<V>(x + i, part), top));
  });
  const float most = V::HMax(top);
  const auto largest = V::Set1(most);
  auto sum = V::Zero();
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto e = V::Select(part, Exp<V>(V::Sub(LoadPart<V>(x + i, part), largest)), V::Zero());
    sum = V::Add(sum, e);
    StorePart<V>(x + i, e, part);
  });
  return {most, V::HSum(sum)};
}

template <typename V>
void Softmax(float* x, size_t n) {
  const auto scale = V::Set1(1.0f / ExpSums<V>(x, n).total);
  ForVectors<V>(n, [&](size_t i, size_t part) {
    StorePart<V>(x + i, V::Mul(LoadPart<V>(x + i, part), scale), part);
  });
}

template <typename V>
void RmsNorm(const float* x, const float* weight, float eps, size_t width, float* y) {
  auto squares = V::Zero();
  ForVectors<V>(width, [&](size_t i, size_t part) {
    const auto v = LoadPart<V>(x + i, part);
    squares = V::Fma(v, v, squares);
  });
  const auto scale =
      V::Set1(1.0f / __builtin_sqrtf(V::HSum(squares) / static_cast<float>(width) + eps));
  ForVectors<V>(width, [&](size_t i, size_t part) {
    StorePart<V>(y + i,
                 V::Mul(LoadPart<V>(weight + i, part), V::Mul(LoadPart<V>(x + i, part), scale)),
                 part);
  });
}

template <typename V>
void LayerNorm(const float* x, const float* weight, const float* bias, float eps, size_t width,
               float* y) {
  const float count = static_cast<float>(width);
  auto sum = V::Zero();
  ForVectors<V>(width, [&](size_t i, size_t part) { sum = V::Add(sum, LoadPart<V>(x + i, part)); });
  const auto mean = V::Set1(V::HSum(sum) / count);
  auto squares = V::Zero();
  ForVectors<V>(width, [&](size_t i, size_t part) {
    const auto d = V::Select(part, V::Sub(LoadPart<V>(x + i, part), mean), V::Zero());
    squares = V::Fma(d, d, squares);
  });
  const auto scale = V::Set1(1.0f / __builtin_sqrtf(V::HSum(squares) / count + eps));
  ForVectors<V>(width, [&](size_t i, size_t part) {
    const auto d = V::Mul(V::Sub(LoadPart<V>(x + i, part), mean), scale);
    StorePart<V>(y + i, V::Fma(d, LoadPart<V>(weight + i, part), LoadPart<V>(bias + i, part)),
                 part);
  });
}

// x sigmoid(t) = x / (1 + e^-t).
template <typename V>
inline typename V::F TimesSigmoid(typename V::F x, typename V::F t) {
  return V::Div(x, V::Add(V::Set1(1.0f), Exp<V>(V::Sub(V::Zero(), t))));
}

template <typename V>
void SiluMul(const float* gate, const float* up, size_t n, float* y) {
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto g = LoadPart<V>(gate + i, part);
    StorePart<V>(y + i, V::Mul(TimesSigmoid<V>(g, g), LoadPart<V>(up + i, part)), part);
  });
}

// As GeluTanh of ref/scalar.cc: x sigmoid(2 u).
template <typename V>
void GeluTanh(float* x, size_t n) {
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto v = LoadPart<V>(x + i, part);
    const auto cube = V::Mul(V::Mul(v, v), V::Mul(v, V::Set1(0.044715f)));
    StorePart<V>(x + i, TimesSigmoid<V>(v, V::Mul(V::Set1(1.5957691216057308f), V::Add(v, cube))),
                 part);
  });
}

// x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, with erfc as a polynomial of 1 / (1 + p a)
// times e^-a^2: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26 (error 1.5e-7).
template <typename V>
void GeluErf(float* x, size_t n) {
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto v = LoadPart<V>(x + i, part);
    const auto size = V::Min(V::Set1(20.0f), V::Abs(v));  // further out erfc is 0; NaN stays
    const auto a = V::Mul(size, V::Set1(0.70710678118654752f));
    const auto t = V::Div(V::Set1(1.0f), V::Fma(a, V::Set1(0.3275911f), V::Set1(1.0f)));
    auto p = V::Set1(1.061405429f);
    p = V::Fma(p, t, V::Set1(-1.453152027f));
    p = V::Fma(p, t, V::Set1(1.421413741f));
    p = V::Fma(p, t, V::Set1(-0.284496736f));
    p = V::Fma(p, t, V::Set1(0.254829592f));
    const auto erfc = V::Mul(V::Mul(p, t), Exp<V>(V::Sub(V::Zero(), V::Mul(a, a))));
    const auto tail = V::Mul(V::Mul(size, V::Set1(0.5f)), erfc);
    StorePart<V>(x + i, V::Sub(V::Max(v, V::Zero()), tail), part);
  });
}

template <typename V>
float AbsMax(const float* x, size_t n) {
  auto top = V::Zero();
  ForVectors<V>(
      n, [&](size_t i, size_t part) { top = V::Max(V::Abs(LoadPart<V>(x + i, part)), top); });
  return V::HMax(top);
}

// x / s by a product with 1 / s, which is wrong by less than 2^-13 below 512: enough unless a value
// lies so near to the middle between two codes that the division itself must decide.
template <typename V>
void QuantizeByProduct(const float* x, size_t n, float scale, float offset, int8_t* codes) {
  const auto low = V::Set1(-512.0f), high = V::Set1(512.0f), z = V::Set1(offset),
             s = V::Set1(scale), r = V::Set1(1.0f / scale), safe = V::Set1(0.5f - 0x1p-12f);
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto v = LoadPart<V>(x + i, part);
    const auto t = V::Min(V::Max(V::Mul(v, r), low), high);
    auto code = V::Round(t);
    if (!V::AllBelow(V::Abs(V::Sub(t, code)), safe)) [[unlikely]]
      code = V::Round(V::Min(V::Max(V::Div(v, s), low), high));
    V::StoreInt8N(codes + i, V::Add(code, z), part);
  });
}

template <typename V, bool kPerChannel, bool kReciprocal>
inline void QuantizeLoop(const float* x, size_t n, const float* scale, const float* offset,
                         int8_t* codes) {
  const auto low = V::Set1(-512.0f), high = V::Set1(512.0f);
  ForVectors<V>(n, [&](size_t i, size_t part) {
    const auto s = kPerChannel ? LoadPart<V>(scale + i, part) : V::Set1(scale[0]);
    const auto z = kPerChannel ? LoadPart<V>(offset + i, part) : V::Set1(offset[0]);
    const auto v = LoadPart<V>(x + i, part);
    auto t = kReciprocal ? V::Mul(v, s) : V::Div(v, s);
    t = V::Add(V::Round(V::Min(V::Max(t, low), high)), z);  // Max returns `low` for NaN
    V::StoreInt8N(codes + i, t, part);
  });
}

template <typename V>
void QuantizeCodes(const float* x, size_t n, const QuantizeArgs& args, int8_t* codes) {
  const bool ordinary = args.scale[0] > 0x1p-100f && args.scale[0] < 0x1p100f;  // so is 1 / scale
  if (!args.per_channel && !args.reciprocal && ordinary)
    return QuantizeByProduct<V>(x, n, args.scale[0], args.offset[0], codes);
  const auto loop =
      args.per_channel
          ? (args.reciprocal ? QuantizeLoop<V, true, true> : QuantizeLoop<V, true, false>)
          : (args.reciprocal ? QuantizeLoop<V, false, true> : QuantizeLoop<V, false, false>);
  loop(x, n, args.scale, args.offset, codes);
}
