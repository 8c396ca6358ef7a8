// What a vzdump call asks for, checked. PVE: API2/VZDump.pm, VZDump.pm, VZDump/Common.pm.
import { die, paramError, textOf, type Call } from '../../core.ts';
import { checkRetention, policyOf } from '../definitions.ts';
import { suffixOf, type Compress } from '../naming.ts';
import { keepsEverything, parseKeepPolicy, type KeepPolicy } from '../prune.ts';
import type { Storage } from '../room.ts';
import { text } from '../routes-config.ts';

export type Mode = 'snapshot' | 'suspend' | 'stop';

export interface VzdumpOrder {
  /** In the order of the job: guests that exist, then those that do not and will fail visibly. */
  readonly vmids: readonly number[];
  /** A guest that the caller may not back up is passed over in silence. */
  readonly everyGuest: boolean;
  readonly storage: string;
  readonly mode: Mode;
  readonly compress: Compress;
  readonly remove: boolean;
  /** From the call, else the storage's own. Undefined while the storage is unknown. */
  readonly retention: KeepPolicy | undefined;
  readonly notesTemplate: string | undefined;
  readonly protected: boolean;
  readonly bwlimitKiB: number | undefined;
  readonly ionice: number;
  readonly zstdThreads: number;
  /** Anchored patterns start with `/`. */
  readonly excludePaths: readonly string[];
  /** Minutes. */
  readonly lockwait: number;
  /** As the job logs itself. */
  readonly commandLine: string;
}

const rootOnly = ['tmpdir', 'dumpdir', 'script', 'job-id'];
const tunables = ['bwlimit', 'ionice', 'performance'];
const noteVariables = ['cluster', 'guestname', 'node', 'vmid'];
export const standardExcludes = ['/tmp/?*', '/var/tmp/?*', '/var/run/?*.pid'];

/** Throws what Proxmox answers before it forks; undefined when there is nothing to do on this node. */
export function readOrder(call: Call, room: Storage): VzdumpOrder | undefined {
  const { params, who } = call;
  const { access, name } = call.pve;
  if (params['stdout'] === 1) paramError({ stdout: 'option is only allowed on the command line interface.' });
  if (!access.isRoot(who)) {
    for (const key of rootOnly) if (params[key] !== undefined) paramError({ [key]: 'Only root may set this option.' });
    if (tunables.some((key) => params[key] !== undefined)) access.check(who, '/', ['Sys.Modify']);
    if (params['stop'] === 1) access.check(who, `/nodes/${name}`, ['Sys.Modify']);
  }
  const storage = text(call, 'storage') ?? 'local';
  if (params['prune-backups'] !== undefined) access.check(who, `/storage/${storage}`, ['Datastore.Allocate']);
  checkCombination(call);
  const vmids = selected(call);
  const everyGuest = text(call, 'pool') === undefined && (params['all'] === 1 || params['exclude'] !== undefined);
  if (vmids.length === 0 && (!everyGuest || params['stop'] === 1)) return undefined;
  access.check(who, `/storage/${storage}`, ['Datastore.AllocateSpace']);

  const given = text(call, 'prune-backups');
  const parsed = given === undefined ? undefined : parseKeepPolicy(given);
  const definition = room.definitions.find(storage);
  const stored = definition && policyOf(definition);
  const number = (key: string, fallback: number) => (typeof params[key] === 'number' ? params[key] : fallback);
  const ownExcludes = listOf(params['exclude-path']);
  const bwlimit = number('bwlimit', room.vzdumpDefaults.bwlimitKiB);
  return {
    vmids,
    everyGuest,
    storage,
    mode: modeOf(text(call, 'mode')),
    compress: compressOf(text(call, 'compress')),
    remove: number('remove', 1) === 1,
    retention: parsed?.is === 'policy' ? parsed.policy : stored,
    notesTemplate: text(call, 'notes-template'),
    protected: params['protected'] === 1,
    bwlimitKiB: bwlimit > 0 ? bwlimit : undefined,
    ionice: number('ionice', 7),
    zstdThreads: number('zstd', 1),
    excludePaths: [...ownExcludes, ...(number('stdexcludes', 1) === 1 ? standardExcludes : [])],
    lockwait: number('lockwait', 180),
    commandLine: commandLine(call),
  };
}

/** PVE: VZDump.pm get_included_guests. A pool wins over a list, a list over everything but what is excluded. */
function selected(call: Call): number[] {
  const { guests, access } = call.pve;
  const pool = text(call, 'pool');
  const listed = numbersIn(text(call, 'vmid'));
  const excluded = numbersIn(text(call, 'exclude'));
  const here = [...guests.ids()].sort((a, b) => a - b);
  if (pool !== undefined) {
    if (!access.poolExists(pool)) die(`pool '${pool}' does not exist`);
    return here.filter((vmid) => access.poolOfGuest(vmid) === pool);
  }
  if (listed.length > 0) {
    const sorted = listed.toSorted((a, b) => a - b);
    return [...sorted.filter((vmid) => guests.exists(vmid)), ...sorted.filter((vmid) => !guests.exists(vmid))];
  }
  const wanted = call.params['all'] === 1 || call.params['exclude'] !== undefined;
  return wanted ? here.filter((vmid) => !excluded.includes(vmid)) : [];
}

function checkCombination(call: Call): void {
  const { params } = call;
  for (const key of ['all', 'exclude', 'pool']) {
    const conflicts = isTrue(params['vmid']) && isTrue(params[key]);
    if (conflicts) paramError({ [key]: "option conflicts with option 'vmid'" });
  }
  checkRetention(params['prune-backups']);
  const template = text(call, 'notes-template');
  if (template !== undefined) checkTemplate(template);
  const byRule = params['all'] === 1 || (params['exclude'] !== undefined && params['pool'] === undefined);
  if (!isTrue(params['vmid']) && !isTrue(params['pool']) && params['stop'] !== 1 && !byRule)
    paramError({ vmid: 'property is missing' });
}

/** As Perl takes a value for true. */
const isTrue = (value: unknown): boolean => ![undefined, null, '', '0', 0].some((nothing) => nothing === value);

/** PVE: VZDump.pm verify_notes_template. */
export function checkTemplate(template: string): void {
  const unknown = [...template.matchAll(/\{\{(.*?)\}\}/g)]
    .filter(([, variable = '']) => !noteVariables.includes(variable))
    .map((match) => `variable '${match[1]}' at char ${match.index + match[0].length - (match[1] ?? '').length}`);
  const escapes = [...template.matchAll(/\\(.)/g)]
    .filter(([, escaped = '']) => escaped !== 'n' && escaped !== '\\')
    .map((match) => `escape sequence '${match[0]}' at char ${match.index}`);
  const problems = [...unknown, ...escapes];
  if (problems.length > 0) paramError({ 'notes-template': `found unknown: ${problems.join(', ')}\n` });
}

/** Fills a checked template. A node that is in no cluster calls it `standalone node`. */
export function fillTemplate(template: string, values: { guestname: string; node: string; vmid: number }): string {
  const known: Record<string, string> = { cluster: 'standalone node', ...values, vmid: String(values.vmid) };
  return template
    .replace(/\{\{(.*?)\}\}/g, (_, variable: string) => known[variable] ?? '')
    .replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
}

/** Whether the job prunes afterwards, and how many backups may exist when it does not. PVE: VZDump.pm new. */
export function retentionOf(order: VzdumpOrder): { prunes: boolean; limit: number | undefined } {
  const policy = order.retention;
  if (policy === undefined || keepsEverything(policy)) return { prunes: false, limit: undefined };
  const limit = [...policy.keep.values()].reduce((sum, n) => sum + n, 0);
  return { prunes: order.remove, limit: order.remove ? undefined : limit };
}

const listOf = (value: unknown): string[] =>
  value === undefined ? [] : (Array.isArray(value) ? value : [value]).map(String);

const numbersIn = (list: string | undefined): number[] =>
  (list ?? '')
    .split(/[,;\s]+/)
    .filter((entry) => entry !== '')
    .map(Number);

const modeOf = (mode: string | undefined): Mode => (mode === 'suspend' || mode === 'stop' ? mode : 'snapshot');

const isCompress = (value: string): value is Compress => value in suffixOf;
const compressOf = (value: string | undefined): Compress => (value !== undefined && isCompress(value) ? value : '0');

/** PVE quotes like Perl's String::ShellQuote. */
const quoted = (value: string) => (/[^\w!%+,\-./:@^]/.test(value) ? `'${value.replaceAll("'", `'\\''`)}'` : value);

function commandLine(call: Call): string {
  const parts = ['vzdump', ...numbersIn(text(call, 'vmid')).map(String)];
  // To exclude guests means all others.
  const implied = call.params['exclude'] !== undefined && call.params['pool'] === undefined ? { all: 1 } : {};
  for (const [key, value] of Object.entries({ ...call.params, ...implied })) {
    if (key === 'vmid' || key === 'stdout' || textOf(value) === '') continue;
    for (const one of listOf(value)) parts.push(`--${key}`, quoted(one));
  }
  return parts.join(' ');
}
