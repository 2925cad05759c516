// Compiles a region for an instruction set that the rest of the file does not
// assume: KR_TARGET_BEGIN("avx2,bmi") … KR_TARGET_END. Works with g++ and clang,
// lambdas and templates included. Include everything foreign before the region and
// keep what stands inside in an anonymous namespace: a template or inline function
// with a shared name would be emitted with these instructions for all.
#pragma once

#define KR_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define KR_TARGET_BEGIN(isa) KR_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define KR_TARGET_END _Pragma("clang attribute pop")
#else
#define KR_TARGET_BEGIN(isa) _Pragma("GCC push_options") KR_PRAGMA(GCC target(isa))
#define KR_TARGET_END _Pragma("GCC pop_options")
#endif
