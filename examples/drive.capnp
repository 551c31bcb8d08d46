@0xb5a8c1d97e3f4602;
# A log as cars keep one: each message is an event with a time, and one of many kinds of data.

struct Event {
  logMonoTime @0 :UInt64;  # ns
  valid @1 :Bool = true;
  union {
    initData @2 :InitData;
    can @3 :List(CanData);
    carState @4 :CarState;
    accelerometer @5 :SensorEvent;
    gpsLocation @6 :GpsLocation;
    logMessage @7 :Text;
    deviceState @8 :DeviceState;
  }
}

struct InitData {
  version @0 :Text;
  dongleId @1 :Text;
  params @2 :List(Param);

  struct Param {
    key @0 :Text;
    value @1 :Data;
  }
}

struct CanData {
  address @0 :UInt32;
  dat @1 :Data;
  src @2 :UInt8;
}

struct CarState {
  vEgo @0 :Float32;  # m/s
  steeringAngleDeg @1 :Float32;
  gasPressed @2 :Bool;
  brakePressed @3 :Bool;
  gearShifter @4 :GearShifter;
  wheelSpeeds @5 :WheelSpeeds;

  enum GearShifter {
    unknown @0;
    park @1;
    drive @2;
    neutral @3;
    reverse @4;
  }

  struct WheelSpeeds {
    fl @0 :Float32;
    fr @1 :Float32;
    rl @2 :Float32;
    rr @3 :Float32;
  }
}

struct SensorEvent {
  timestamp @0 :Int64;
  union {
    acceleration @1 :SensorVec;
    temperature @2 :Float32;
  }

  struct SensorVec {
    v @0 :List(Float32);
    status @1 :Int8;
  }
}

struct GpsLocation {
  latitude @0 :Float64;
  longitude @1 :Float64;
  speed @2 :Float32;
  hasFix @3 :Bool;
}

struct DeviceState {
  cpuUsagePercent @0 :List(Int8);
  freeSpacePercent @1 :Float32;
  started @2 :Bool;
}
