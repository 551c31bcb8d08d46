@0xe0a3c5b791d24f68;
# What one process of tour.py sends to another.

struct Reading {
  sent @0 :Int64;       # nanoseconds of the monotonic clock, when it was appended
  value @1 :Float64;
}
