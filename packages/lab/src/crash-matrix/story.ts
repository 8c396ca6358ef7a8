/** What a story of the crash matrix is, and what stories look at. */
import type { ReportedJob } from '@felhom/protocol';
import { labGuest } from '../world/desired.ts';
import type { SignedJob } from '../world/sign-job.ts';
import type { SimWorld } from '../world/sim-world.ts';

/** One line for each. */
type Wrongs = readonly string[] | Promise<readonly string[]>;

export interface Story {
  /** What the world holds and has converged on before the saga is asked for; absent: nothing. */
  readonly before?: readonly unknown[];
  /** Changes to the policy of the lab. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Done to the world just before, past the agent. */
  readonly prepare?: (world: SimWorld) => Promise<void>;
  /** Desired state that makes the saga necessary. */
  readonly asks: readonly unknown[];
  /** The backup plan that is published with it; absent: none. */
  readonly plan?: unknown;
  /** What people sign for it. An agent lives meanwhile; the envelope is in the mailbox when the next one boots. */
  readonly signs?: (world: SimWorld) => Promise<SignedJob>;
  /** The state of that job once the saga has done its work; `done` unless told. */
  readonly doneAs?: JobStanding['state'];
  /** By name: what makes it fail, once or for a while. The name `well` is taken: nothing does. */
  readonly spoils: Readonly<Record<string, (world: SimWorld) => void>>;
  /** Where a converged world does not say it yet: whether the saga has done its work. */
  readonly settled?: (world: SimWorld) => boolean;
  /** The host begins it by itself, and one that completes is enough. */
  readonly once?: true;
  /**
   * Every point twice, or `once`, but not with everything that can happen meanwhile: its world takes long to come to the
   * saga, or it has many points.
   */
  readonly sparse?: true | 'once';
  /** What is not as it must be once the world has converged or the job is done, judged by the node's own files. */
  readonly missing: (world: SimWorld, how: Told) => Wrongs;
  /** What is not as it was, where the job came to nothing; unless told, the guest's config and whether it runs. */
  readonly changed?: (world: SimWorld, was: Standing) => Wrongs;
  /** Guests of ours in the end; one unless told. */
  readonly guests?: { readonly done: number; readonly undone: number };
  /** It ends with the guest destroyed: once, and only then. */
  readonly removes?: true;
  /**
   * What its parking must say and does not. Absent, it has no reason to park: where everything works again, it ends.
   */
  readonly parked?: (world: SimWorld, says: string) => Wrongs;
  /** Disorder that somebody else made. */
  readonly tolerates?: RegExp;
}

/** Of one telling: its variant, and what happened while the agent was down. */
export interface Told {
  readonly variant: string;
  readonly interlude: string;
}

/** The first VMID of the range: where the one guest of every story goes. */
export const storyVmid = 9000;
export const web = labGuest('web');

export interface Standing {
  readonly config: string | undefined;
  readonly runs: boolean;
}

export function standing({ host, node }: SimWorld): Standing {
  const config = host.rawConfig(storyVmid);
  return { config, runs: config !== undefined && node.guests.isRunning(storyVmid) };
}

export type JobStanding = Pick<ReportedJob, 'state' | 'code' | 'text'>;

/** From the journal: a report is built anew each time, and this is asked all the time. */
export const standingOfJob = (world: SimWorld, id: string): JobStanding | undefined =>
  world.disk().get(`job/${id}`)?.body as JobStanding | undefined;

/** Lines, and the properties within a line, in any order. */
const sortedConfig = (text: string | undefined): string | undefined =>
  text
    ?.split('\n')
    .map((line) => line.split(',').toSorted().join())
    .toSorted()
    .join('\n');

export function changedSince(world: SimWorld, was: Standing): readonly string[] {
  const now = standing(world);
  return [
    ...(now.runs === was.runs
      ? []
      : [`${storyVmid} ${now.runs ? 'runs' : 'stands still'}, and its job came to nothing`]),
    ...(sortedConfig(now.config) === sortedConfig(was.config)
      ? []
      : [`the job came to nothing, and the config changed from\n${was.config}\nto\n${now.config}`]),
  ];
}

export const refusedOnce = ({ node }: SimWorld, path: RegExp, method: 'PUT' | 'POST', nth = 1): void =>
  node.faults.add({ method, path, nth, fault: { is: 'die', message: 'no way\n' } });

/** Proven to have changed nothing, and no time mends it: whoever hears it turns back. From the `nth` call on, once. */
export const deniedOnce = ({ node }: SimWorld, path: RegExp, method: 'PUT' | 'POST', nth = 1): void =>
  node.faults.add({
    method,
    path,
    nth,
    fault: { is: 'status', status: 403, reason: 'Permission check failed', when: 'before' },
  });

export const lacks = (world: SimWorld, ...lines: readonly RegExp[]): readonly string[] => {
  // What waits for the next start, or lies in a snapshot, does not hold yet.
  const [config = ''] = (world.host.rawConfig(storyVmid) ?? '').split(/^\[/m);
  return lines.filter((line) => !line.test(config)).map((line) => `the config of ${storyVmid} lacks ${line.source}`);
};

export const notRunning = (world: SimWorld): readonly string[] =>
  standing(world).runs ? [] : [`${storyVmid} does not run`];

export const stillRunning = (world: SimWorld): readonly string[] => (standing(world).runs ? [`${storyVmid} runs`] : []);

/** It does not start, until it is mended a minute later. */
export function doesNotStartAtOnce({ host, node, clock }: SimWorld): void {
  host.setInit(storyVmid, 'cannot-be-executed');
  void clock.sleep(60_000).then(() => node.guests.exists(storyVmid) && host.setInit(storyVmid, 'obeys'));
}
