/** What the names of the witness's sub-cgroups say. The guest's root writes them: whitelisted, counted, never a path. */

/** Seconds between two beats of the witness inside the guest. */
const beatSeconds = 5;
/** Older or newer than this many periods is no beat of now. The guest has the host's kernel clock. */
const beatPeriods = 4;
const mostChecks = 64;

export interface WitnessFacts {
  /** `stale`: not a beat, too many of them, or not of now. It says that nothing is known, not that something is bad. */
  readonly beat: 'fresh' | 'stale';
  /** Names of checks that say they are well, and that say they are not. */
  readonly ok: readonly string[];
  readonly no: readonly string[];
}

/** `at`: host wall time of the sample, milliseconds. */
export function readFacts(names: readonly string[], at: number): WitnessFacts {
  const ok: string[] = [];
  const no: string[] = [];
  const beats: number[] = [];
  for (const name of names) {
    const check = /^(ok|no)\.([a-z0-9-]{1,32})$/.exec(name);
    if (check?.[2] !== undefined && ok.length + no.length < mostChecks) (check[1] === 'ok' ? ok : no).push(check[2]);
    const beat = /^beat\.(\d{1,12})$/.exec(name);
    if (beat !== null) beats.push(Number(beat[1]));
  }
  // While it puts the next one there are two; more were not made by a witness that works as it should.
  const oneOrTwo = beats.length === 1 || beats.length === 2;
  const fresh = oneOrTwo && Math.abs(at / 1000 - Math.max(...beats)) < beatPeriods * beatSeconds;
  return { beat: fresh ? 'fresh' : 'stale', ok: ok.toSorted(), no: no.toSorted() };
}
