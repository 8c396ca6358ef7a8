/**
 * Questions to the targets. A target that hangs may hold whoever asks it for ever, so there is one question at a time for
 * each, it is given up after its time, and no other one is asked while it has not come back.
 */
import type { Clock } from '../kernel/index.ts';
import { within } from '../kernel/index.ts';
import type { Log } from '../ports/log.ts';
import type { Probe, ProbeQuestion, StorageDevices } from '../ports/storage-devices.ts';

/** What is asked, of a target as it lies there now. */
export interface Question {
  readonly name: string;
  /** Its appearance. */
  readonly of: string;
  readonly question: ProbeQuestion;
  readonly limitMs: number;
}

export interface Asked {
  readonly of: string;
  readonly found: Probe;
  /** Monotonic. */
  readonly at: number;
}

export interface Asking {
  /** Resolves when the answer is there, or the question was given up: in `limitMs` and five seconds at most. */
  ask(question: Question): Promise<void>;
  /** The newest answer; one that hangs is an answer. */
  last(name: string): Asked | undefined;
  /** Given up, and still out there: at most one per target. */
  stuck(): readonly string[];
}

export interface AskingNeeds {
  readonly devices: Pick<StorageDevices, 'probe'>;
  readonly clock: Clock;
  readonly log: Log;
  /** There is another answer. */
  readonly answered: () => void;
}

/** The child is killed when its time is over, and that it is given up is told within this. */
const graceMs = 5_000;

export function createAsking({ devices, clock, log, answered }: AskingNeeds): Asking {
  const last = new Map<string, Asked>();
  const open = new Map<string, Promise<void>>();
  const givenUp = new Set<string>();

  const keep = ({ name, of }: Question, found: Probe): void =>
    void last.set(name, { of, found, at: clock.monotonicMs() });

  const begin = (asked: Question): Promise<void> => {
    const { name, question, limitMs } = asked;
    const probe = devices.probe(question, limitMs);
    const noted = (async () => {
      const came = await within(probe, limitMs + graceMs, clock);
      if (came.is === 'ended') open.delete(name);
      else {
        givenUp.add(name);
        log.warn('a question to a storage target does not come back', { target: name, stuck: givenUp.size });
        const late = (found: Probe): void => {
          open.delete(name);
          givenUp.delete(name);
          // Judged at the next look: nobody waits for this any more.
          keep(asked, found);
        };
        void probe.then(late);
      }
      keep(asked, came.is === 'ended' ? came.value : { is: 'hangs' });
      answered();
    })();
    open.set(name, noted);
    return noted;
  };

  return {
    ask: async (asked) => {
      const before = open.get(asked.name);
      if (before === undefined) return begin(asked);
      if (!givenUp.has(asked.name)) return before;
      // Of what lies there now nobody can be asked either.
      keep(asked, { is: 'hangs' });
      answered();
    },
    last: (name) => last.get(name),
    stuck: () => [...givenUp],
  };
}
