//! Perfetto's protobuf trace: segments as typed GPU events on the queue of their model, host slices, flows from release to
//! completion, memory counters, decisions with their reasons. Opened by ui.perfetto.dev and its trace processor.
mod fields;
mod proto;

use crate::chrome::track_name;
use crate::timeline::{Arg, Args, Flow, FlowPart, Mark, Sink, Track, tell};
use crate::{ExportError, Operators};
use aegis_core::{Nanos, TaskId};
use aegis_trace::{Header, Trace};
use fields::{
    clock_snapshot, debug_annotation, gpu_info, interned_data, packet, render_stage, sequence_flags, trace,
    track_descriptor, track_event,
};
use proto::Proto;
use std::collections::BTreeMap;
use std::io::Write;

/// All packets are of one sequence.
const SEQUENCE: u64 = 1;
/// Process number of the export, which stands for no process of the system; the thread numbers follow it.
const PROCESS: u64 = 1;
/// The device's graphics context, and its number among devices.
const CONTEXT: u64 = 1;
const GPU: u64 = 0;
/// The track of the process, around all others.
const ROOT: u64 = 1;

/// Writes the trace for Perfetto, with `operators` under the segments in which they ran. Its zero stands for boot time 0, and a snapshot says which wall clock time that was.
///
/// # Errors
/// [`ExportError::Write`].
pub fn perfetto(trace: &Trace, operators: &Operators, sink: impl Write) -> Result<(), ExportError> {
    let mut packets = Packets {
        sink,
        header: trace.header(),
        packet: Proto::default(),
        tracks: BTreeMap::new(),
        interned: BTreeMap::new(),
        submitted: 0,
    };
    packets.begin()?;
    tell(trace, operators, &mut packets)?;
    Ok(packets.sink.flush()?)
}

struct Packets<'t, W> {
    sink: W,
    header: &'t Header,
    packet: Proto,
    /// Numbers of the tracks that were described.
    tracks: BTreeMap<Track, u64>,
    /// Numbers of the specifications that were interned.
    interned: BTreeMap<Interned, u64>,
    /// Device events so far.
    submitted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Interned {
    Queue(TaskId),
    Stage(u16),
}

impl<W: Write> Packets<'_, W> {
    /// Writes one packet and forgets it.
    fn packet(&mut self, at: Nanos, flags: u64, fill: impl FnOnce(&mut Proto)) -> Result<(), ExportError> {
        self.packet.clear();
        self.packet.message(trace::PACKET, |p| {
            p.uint(packet::TIMESTAMP, at.0);
            p.uint(packet::TRUSTED_PACKET_SEQUENCE_ID, SEQUENCE);
            p.uint(packet::SEQUENCE_FLAGS, flags);
            fill(p);
        });
        Ok(self.sink.write_all(self.packet.as_bytes())?)
    }

    /// What stands before everything else: the clocks, the device, the process.
    fn begin(&mut self) -> Result<(), ExportError> {
        use clock_snapshot::{BOOTTIME, CLOCK_ID, CLOCK_TIMESTAMP, CLOCKS, PRIMARY_TRACE_CLOCK, REALTIME};
        let header = self.header;
        self.packet(Nanos::ZERO, sequence_flags::INCREMENTAL_STATE_CLEARED, |p| {
            p.message(packet::CLOCK_SNAPSHOT, |snapshot| {
                let wall = (header.created_unix_ns > 0).then_some((REALTIME, header.created_unix_ns));
                for (clock, reads) in [Some((BOOTTIME, 0)), wall].into_iter().flatten() {
                    snapshot.message(CLOCKS, |c| {
                        c.uint(CLOCK_ID, clock);
                        c.uint(CLOCK_TIMESTAMP, reads);
                    });
                }
                snapshot.uint(PRIMARY_TRACE_CLOCK, BOOTTIME);
            });
        })?;
        self.packet(Nanos::ZERO, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
            p.message(packet::INTERNED_DATA, |data| {
                data.message(interned_data::GRAPHICS_CONTEXTS, |context| {
                    context.uint(interned_data::IID, CONTEXT);
                    context.uint(interned_data::CONTEXT_PID, PROCESS);
                });
            });
            p.message(packet::GPU_INFO, |info| {
                info.message(gpu_info::GPUS, |gpu| gpu.text(gpu_info::NAME, &header.host));
            });
        })?;
        self.packet(Nanos::ZERO, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
            p.message(packet::TRACK_DESCRIPTOR, |track| {
                track.uint(track_descriptor::UUID, ROOT);
                track.message(track_descriptor::PROCESS, |process| {
                    process.uint(track_descriptor::PROCESS_PID, PROCESS);
                    process.text(track_descriptor::PROCESS_NAME, &header.program);
                });
            });
        })
    }

    /// The number of a track; described when it is first drawn on.
    fn track(&mut self, track: Track) -> Result<u64, ExportError> {
        if let Some(uuid) = self.tracks.get(&track) {
            return Ok(*uuid);
        }
        let uuid = ROOT + 1 + self.tracks.len() as u64;
        self.tracks.insert(track, uuid);
        let name = track_name(self.header, track);
        self.packet(Nanos::ZERO, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
            p.message(packet::TRACK_DESCRIPTOR, |descriptor| {
                descriptor.uint(track_descriptor::UUID, uuid);
                descriptor.uint(track_descriptor::PARENT_UUID, ROOT);
                match track {
                    Track::Scheduler | Track::Dispatcher | Track::Worker => {
                        descriptor.message(track_descriptor::THREAD, |thread| {
                            thread.uint(track_descriptor::THREAD_PID, PROCESS);
                            thread.uint(track_descriptor::THREAD_TID, PROCESS + uuid);
                            thread.text(track_descriptor::THREAD_NAME, &name);
                        });
                    }
                    Track::Memory(_) => {
                        descriptor.text(track_descriptor::NAME, &name);
                        descriptor.message(track_descriptor::COUNTER, |counter| {
                            counter.uint(track_descriptor::COUNTER_UNIT, track_descriptor::UNIT_SIZE_BYTES);
                        });
                    }
                    Track::Lateness
                    | Track::Records
                    | Track::Missing { .. }
                    | Track::Jobs { .. }
                    | Track::Operators { .. } => {
                        descriptor.text(track_descriptor::NAME, &name);
                    }
                }
            });
        })?;
        Ok(uuid)
    }

    fn event(
        &mut self,
        track: Track,
        at: Nanos,
        kind: u64,
        fill: impl FnOnce(&mut Proto),
    ) -> Result<(), ExportError> {
        let uuid = self.track(track)?;
        self.packet(at, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
            p.message(packet::TRACK_EVENT, |event| {
                event.uint(track_event::TYPE, kind);
                event.uint(track_event::TRACK_UUID, uuid);
                fill(event);
            });
        })
    }

    /// The number of a specification; interned when it is first used.
    fn intern(&mut self, what: Interned) -> Result<u64, ExportError> {
        if let Some(iid) = self.interned.get(&what) {
            return Ok(*iid);
        }
        let iid = 1 + self.interned.len() as u64;
        self.interned.insert(what, iid);
        let (name, description) = match what {
            Interned::Queue(task) => {
                let name = self.header.task_name(task).to_string();
                let model = self.header.models.iter().find(|model| model.task == name);
                let runs = model.map(|m| format!("{} on {} {}", m.file, m.backend, m.version));
                (name, runs.unwrap_or_default())
            }
            Interned::Stage(segment) => (format!("segment {segment}"), String::new()),
        };
        self.packet(Nanos::ZERO, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
            p.message(packet::INTERNED_DATA, |data| {
                data.message(interned_data::GPU_SPECIFICATIONS, |specification| {
                    specification.uint(interned_data::IID, iid);
                    specification.text(interned_data::SPECIFICATION_NAME, &name);
                    if !description.is_empty() {
                        specification.text(interned_data::SPECIFICATION_DESCRIPTION, &description);
                    }
                    specification.uint(interned_data::SPECIFICATION_CATEGORY, interned_data::COMPUTE);
                });
            });
        })?;
        Ok(iid)
    }
}

/// What slices and instants have in common.
fn describe(event: &mut Proto, name: &str, category: &str, flow: Option<Flow>, args: &Args) {
    event.text(track_event::NAME, name);
    event.text(track_event::CATEGORIES, category);
    if let Some(flow) = flow {
        let field = match flow.part {
            FlowPart::First | FlowPart::Middle => track_event::FLOW_IDS,
            FlowPart::Last => track_event::TERMINATING_FLOW_IDS,
        };
        event.fixed64(field, flow.id());
    }
    for (name, arg) in args {
        event.message(track_event::DEBUG_ANNOTATIONS, |annotation| {
            annotation.text(debug_annotation::NAME, name);
            match arg {
                Arg::Number(number) => annotation.uint(debug_annotation::UINT_VALUE, *number),
                Arg::Text(text) => annotation.text(debug_annotation::STRING_VALUE, text),
            }
        });
    }
}

impl<W: Write> Sink for Packets<'_, W> {
    fn draw(&mut self, mark: Mark<'_>) -> Result<(), ExportError> {
        match mark {
            Mark::Begin { track, at, name, category, flow, args } => {
                self.event(track, at, track_event::SLICE_BEGIN, |e| describe(e, name, category, flow, &args))
            }
            Mark::End { track, at } => self.event(track, at, track_event::SLICE_END, |_| {}),
            Mark::Instant { track, at, name, category, flow, args } => {
                self.event(track, at, track_event::INSTANT, |e| describe(e, name, category, flow, &args))
            }
            Mark::Counter { memory, at, bytes } => {
                self.event(Track::Memory(memory), at, track_event::COUNTER, |e| {
                    e.uint(track_event::COUNTER_VALUE, bytes.0);
                })
            }
            Mark::Device { job, segment, from, length, name, args } => {
                let queue = self.intern(Interned::Queue(job.task))?;
                let stage = self.intern(Interned::Stage(segment))?;
                let id = self.submitted;
                self.submitted += 1;
                self.packet(from, sequence_flags::NEEDS_INCREMENTAL_STATE, |p| {
                    p.message(packet::GPU_RENDER_STAGE_EVENT, |stage_event| {
                        stage_event.uint(render_stage::EVENT_ID, id);
                        stage_event.uint(render_stage::DURATION, length.0);
                        stage_event.uint(render_stage::CONTEXT, CONTEXT);
                        // A number of 32 bits; the event's own number goes on where this one starts again.
                        stage_event.uint(render_stage::SUBMISSION_ID, id & u64::from(u32::MAX));
                        stage_event.uint(render_stage::GPU_ID, GPU);
                        stage_event.uint(render_stage::HW_QUEUE_IID, queue);
                        stage_event.uint(render_stage::STAGE_IID, stage);
                        stage_event.text(render_stage::NAME, name);
                        for (name, arg) in &args {
                            stage_event.message(render_stage::EXTRA_DATA, |extra| {
                                extra.text(render_stage::EXTRA_NAME, name);
                                match arg {
                                    Arg::Number(number) => {
                                        extra.text(render_stage::EXTRA_VALUE, &number.to_string());
                                    }
                                    Arg::Text(text) => extra.text(render_stage::EXTRA_VALUE, text),
                                }
                            });
                        }
                    });
                })
            }
        }
    }
}
