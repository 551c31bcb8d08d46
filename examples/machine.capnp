# What record_machine.py records: one message a tick.
@0xd2a1c66ff0a3b8e1;

struct Tick {
  time @0 :Float64;        # seconds since the epoch
  load @1 :Float64;        # processes that could run, on average over a minute
  available @2 :UInt64;    # memory, bytes
  switches @3 :UInt64;     # of the processors from one thread to another, since the start
  running @4 :UInt32;      # threads that run at this moment
}
