// libjpeg-turbo: JPEG decoding.
#pragma once
#include <turbojpeg.h>
