/**
 * What the file of a job kind says: how it is asked for, what its parameters are, and what it means in plain words. The
 * meaning is made from the parameters and from what the host itself signed, so a second person reads the same.
 */
import type { EffectClass, Job, JobKind, JobOf, ReportedGuest } from '@felhom/protocol';
import { CliError, exitCodes } from '../io.ts';
import type { VerifiedHost } from '../verified-host.ts';

export interface Meaning {
  /** One sentence: what the host will do. */
  readonly does: string;
  /** What is gone afterwards. */
  readonly loses: readonly string[];
  /** What is allowed afterwards that was not. */
  readonly widens: readonly string[];
  readonly notes: readonly string[];
  /** Whose thresholds apply, and the fewest people whatever they say. */
  readonly classes: readonly (EffectClass | 'removal' | 'trust')[];
  readonly atLeast: number;
  /** Where the rule is not one of thresholds by class: how many people exactly. */
  readonly people?: number;
}

export const meaning = (does: string, more: Partial<Omit<Meaning, 'does'>> = {}): Meaning => ({
  does,
  loses: [],
  widens: [],
  notes: [],
  classes: [],
  atLeast: 1,
  ...more,
});

/** Arguments after HOST and options, by their commander names. */
export interface Given {
  readonly operands: readonly (string | undefined)[];
  readonly options: Readonly<Record<string, string | readonly string[] | boolean | undefined>>;
  /** Reads a public file that an option or argument names. */
  readFile(path: string): Promise<string>;
}

export interface JobCommand {
  /** A second word makes it a subcommand: `break-glass open`. */
  readonly name: string;
  readonly about: string;
  /** In commander's notation, `<guest>` or `[guest]`, with what it is. */
  readonly operands: readonly (readonly [name: string, about: string])[];
  readonly options: readonly (readonly [flags: string, about: string])[];
  /** Parsed by the schema of the job afterwards. */
  params(host: VerifiedHost, given: Given): unknown;
}

export interface JobFile<K extends JobKind> {
  readonly kind: K;
  /** Hosts of this release refuse it. */
  readonly later?: true;
  readonly commands: readonly JobCommand[];
  meaning(params: JobOf<K>['params'], host: VerifiedHost, job: Job): Meaning;
}

export function operand(given: Given, at: number): string {
  const value = given.operands[at];
  if (value === undefined) throw usage('an argument is missing');
  return value;
}

export function option(given: Given, name: string): string | undefined {
  const value = given.options[name];
  return typeof value === 'string' ? value : undefined;
}

export function requiredOption(given: Given, name: string): string {
  const value = option(given, name);
  if (value === undefined)
    throw usage(`--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is missing`);
  return value;
}

export function listOption(given: Given, name: string): readonly string[] {
  const value = given.options[name];
  return Array.isArray(value) ? value : [];
}

export function wholeNumber(text: string, what: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usage(`${what} has to be a whole number, not ${JSON.stringify(text)}`);
}

export function usage(why: string): CliError {
  return new CliError(exitCodes.usage, 'job.usage', `cannot make the job: ${why}`, 'nothing was signed');
}

/** An error about what the host's own report does not show. */
export function notShown(why: string, next: string): CliError {
  return new CliError(exitCodes.failed, 'job.unknown-target', `cannot make the job: ${why}`, next);
}

/** The guest of that name, in the host's verified report. */
export function guestNamed(
  host: VerifiedHost,
  name: string,
): ReportedGuest & { uid: NonNullable<ReportedGuest['uid']> } {
  const guest = host.report.guests.find((one) => one.name === name);
  if (guest?.uid === undefined)
    throw notShown(
      `${host.hostId} reports no guest ${JSON.stringify(name)} of its own`,
      `felhom status ${host.hostId} shows its guests; one that is not on record is adopted with felhom adopt`,
    );
  return { ...guest, uid: guest.uid };
}

/** uid and incarnation, as signatures name a guest. */
export function jobGuest(host: VerifiedHost, name: string): { readonly uid: string; readonly incarnation: number } {
  const { uid, incarnation } = guestNamed(host, name);
  const found = incarnation ?? incarnationInBlocked(host, uid);
  if (found === undefined)
    throw notShown(
      `the report of ${host.hostId} does not say which incarnation of ${name} is there`,
      'the agent on the host is of an older version; update it first',
    );
  return { uid, incarnation: found };
}

function incarnationInBlocked(host: VerifiedHost, uid: string): number | undefined {
  const found = host.report.blocked.find(({ document }) => document.subject.startsWith(`${uid}.`));
  return found === undefined ? undefined : Number(found.document.subject.slice(uid.length + 1));
}

/** The name that the host gives a uid, with the uid: names change hands, uids do not. */
export function guestWords(host: VerifiedHost, guest: { readonly uid: string; readonly incarnation: number }): string {
  const known = host.report.guests.find(({ uid }) => uid === guest.uid);
  if (known === undefined)
    return `a guest that the host does not report (uid ${guest.uid}, incarnation ${guest.incarnation})`;
  const vmid = known.vmid === undefined ? '' : `, VMID ${known.vmid}`;
  return `guest ${known.name} (uid ${guest.uid}, incarnation ${guest.incarnation}${vmid})`;
}
