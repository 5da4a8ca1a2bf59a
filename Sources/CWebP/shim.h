// libwebp: WebP decoding.
#pragma once
#include <webp/decode.h>
