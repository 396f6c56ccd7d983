// A digest that no two contents share, not even contents made for that: BLAKE2b (RFC 7693) of 16 bytes without a key,
// as hashlib.blake2b(data, digest_size=16) of Python has it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace mxq {

using Digest = std::array<uint8_t, 16>;

Digest digest_of(const void* data, size_t bytes);

std::string to_hex(const Digest& digest);
// False where the text is not 32 hexadecimal digits, in lower case.
bool from_hex(const std::string& text, Digest* digest);

}  // namespace mxq
