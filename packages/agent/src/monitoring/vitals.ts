/** Numbers of now, as they travel beside the report. Pure. */
import type { HostVitals } from '@felhom/protocol';
import type { HostSample } from '../ports/host-facts.ts';

/** Share of the processors' time between two samples; `undefined` where there is none, or time did not move. */
export function cpuPercent(before: HostSample['cpu'], now: HostSample['cpu']): number | undefined {
  if (before === undefined || now === undefined || now.total <= before.total) return undefined;
  const share = (now.busy - before.busy) / (now.total - before.total);
  return tenths(Math.min(100, Math.max(0, share * 100)));
}

/** `at`: wall time of the sample in milliseconds. */
export function vitalsOf(sample: HostSample, cpu: number | undefined, at: number): HostVitals {
  const { uptimeSeconds, load1, memory, rootDisk, pressure, hottestC } = sample;
  return {
    at,
    uptimeSeconds: Math.floor(uptimeSeconds ?? 0),
    ...(cpu === undefined ? {} : { cpuPercent: cpu }),
    ...(load1 === undefined ? {} : { load1 }),
    ...(memory === undefined ? {} : { memory }),
    ...(rootDisk === undefined ? {} : { rootDisk }),
    ...(pressure === undefined ? {} : { pressure }),
    ...(hottestC === undefined || hottestC > 200 ? {} : { hottestC: tenths(hottestC) }),
    targets: [],
  };
}

const tenths = (value: number): number => Math.round(value * 10) / 10;
