// libspng: PNG decoding and encoding.
#pragma once
#include <spng.h>
