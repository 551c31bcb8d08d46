# event.capnp
@0xd2b8a1c7e4f60913;

struct Event {
  time @0 :Float64;
  source @1 :Text;
  value @2 :Float64;
}

struct Day {
  events @0 :List(Event);
}
