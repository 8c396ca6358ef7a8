/** The settings of the suite against a real node, from the environment. Pure but for reading the named files. */
import { readFileSync } from 'node:fs';

/** Only this exact value lets the suite create and destroy guests. */
export const optInValue = 'yes-create-and-destroy-guests';

export interface VmidRange {
  readonly from: number;
  readonly to: number;
}

export interface PveSettings {
  readonly url: string;
  readonly token: string;
  readonly trust:
    | { readonly is: 'ca'; readonly pem: string }
    | { readonly is: 'spki'; readonly sha256: string }
    /** The key that the node shows at the beginning is pinned for the rest of the run; for a lab only. */
    | { readonly is: 'first-use' };
  readonly node: string;
  readonly storage: string;
  readonly bridge: string;
  readonly pool: string;
  readonly archive: string;
  readonly vmids: VmidRange;
  /** Where the agent under test has its scratch guests. */
  readonly scratch: VmidRange;
  /** Where backups of the suite go. */
  readonly backupStorage: string;
  readonly helper: readonly string[] | undefined;
}

export type Environment =
  | { readonly is: 'ready'; readonly settings: PveSettings }
  | { readonly is: 'not-opted-in' }
  | { readonly is: 'incomplete'; readonly problems: readonly string[] };

const vmidRange = /^\d{3,9}-\d{3,9}$/;

type Variables = Readonly<Record<string, string | undefined>>;

/** `readFile` is given in tests. */
export function readEnvironment(
  env: Variables,
  readFile: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): Environment {
  if (env['FELHOM_PVE_OPT_IN'] !== optInValue) return { is: 'not-opted-in' };
  const problems: string[] = [];
  const need = (name: string, form: RegExp, example: string): string => {
    const value = env[name] ?? '';
    if (!form.test(value))
      problems.push(`${name} is ${value === '' ? 'missing' : 'not valid'}, for example ${example}`);
    return value;
  };
  const file = (name: string): string => {
    try {
      return readFile(env[name] ?? '').trim();
    } catch (error) {
      problems.push(`${name}: cannot read the file: ${error instanceof Error ? error.message : String(error)}`);
      return '';
    }
  };
  const token =
    env['FELHOM_PVE_TOKEN_FILE'] === undefined ? (env['FELHOM_PVE_TOKEN'] ?? '') : file('FELHOM_PVE_TOKEN_FILE');
  // The value is never repeated in a message.
  if (!/^[^!=\s]+![^!=\s]+=\S+$/.test(token))
    problems.push(
      'FELHOM_PVE_TOKEN (or FELHOM_PVE_TOKEN_FILE) is missing or not of the form USER@REALM!TOKENID=SECRET',
    );
  const archive = need(
    'FELHOM_PVE_ARCHIVE',
    /^[A-Za-z][\w.-]*:\S+$/,
    'local:backup/vzdump-lxc-100-2026_01_01-00_00_00.tar.zst',
  );
  const vmids = rangeOf('FELHOM_PVE_VMIDS', need('FELHOM_PVE_VMIDS', vmidRange, '9000-9009'), problems);
  const settings: PveSettings = {
    url: need('FELHOM_PVE_URL', /^https:\/\/\S+$/, 'https://pve1.example:8006'),
    token,
    trust: trustOf(env, file, problems),
    node: need('FELHOM_PVE_NODE', /^[A-Za-z0-9-]+$/, 'pve1'),
    storage: need('FELHOM_PVE_STORAGE', /^[A-Za-z][\w.-]+$/, 'local-lvm'),
    bridge: need('FELHOM_PVE_BRIDGE', /^[A-Za-z][\w.-]*$/, 'vmbr0'),
    pool: need('FELHOM_PVE_POOL', /^[A-Za-z0-9][\w-]*$/, 'felhom'),
    archive,
    vmids,
    scratch: scratchOf(env['FELHOM_PVE_SCRATCH'], vmids, problems),
    backupStorage: env['FELHOM_PVE_BACKUPS'] ?? archive.split(':')[0] ?? '',
    helper: helperOf(env['FELHOM_PVE_HELPER'], problems),
  };
  return problems.length === 0 ? { is: 'ready', settings } : { is: 'incomplete', problems };
}

function trustOf(env: Variables, file: (name: string) => string, problems: string[]): PveSettings['trust'] {
  const spki = env['FELHOM_PVE_SPKI'];
  if (env['FELHOM_PVE_CA_FILE'] !== undefined) return { is: 'ca', pem: file('FELHOM_PVE_CA_FILE') };
  if (spki !== undefined) {
    if (!/^[0-9a-fA-F]{64}$/.test(spki)) problems.push('FELHOM_PVE_SPKI is not a SHA-256 in 64 hex digits');
    return { is: 'spki', sha256: spki.toLowerCase() };
  }
  if (env['FELHOM_PVE_INSECURE'] !== '1')
    problems.push('FELHOM_PVE_CA_FILE, FELHOM_PVE_SPKI or, for a lab only, FELHOM_PVE_INSECURE=1 is missing');
  return { is: 'first-use' };
}

function rangeOf(name: string, text: string, problems: string[]): VmidRange {
  const [from = 0, to = 0] = text.split('-').map(Number);
  if (from < 100 || to < from || to - from >= 1_000)
    problems.push(`${name} is not a range of at most 1000 ids from 100 on`);
  return { from, to };
}

/** The last two of the range, unless the range is told. */
function scratchOf(text: string | undefined, { from, to }: VmidRange, problems: string[]): VmidRange {
  if (text === undefined) return { from: Math.max(from, to - 1), to };
  if (vmidRange.test(text)) return rangeOf('FELHOM_PVE_SCRATCH', text, problems);
  problems.push('FELHOM_PVE_SCRATCH is not valid, for example 9800-9809');
  return { from, to };
}

/** A JSON array is a command with arguments; anything else is the path of a program. */
function helperOf(text: string | undefined, problems: string[]): readonly string[] | undefined {
  if (text === undefined || text === '') return undefined;
  if (!text.startsWith('[')) return [text];
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed) && parsed.length > 0 && parsed.every((part) => typeof part === 'string')) return parsed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  problems.push('FELHOM_PVE_HELPER is neither a path nor a JSON array of strings');
  return undefined;
}

/** What the suite would do, for whoever starts it without the opt-in. */
export const whatItDoes = `This suite works on a REAL Proxmox VE node. It
  - reads versions, privileges, storages, tasks and the list of guests;
  - restores the archive FELHOM_PVE_ARCHIVE into free VMIDs of FELHOM_PVE_VMIDS, several times;
  - changes, resizes, starts, stops and DESTROYS the guests that it made, known by their marker;
  - backs them up to FELHOM_PVE_BACKUPS, restores and DELETES these backups, takes, rolls back and drops snapshots;
  - asks the helper FELHOM_PVE_HELPER, where given, to list volumes of those VMIDs and to put them back into the pool.
It touches no other guest and defines or deletes no storage.
If that is what you want, set FELHOM_PVE_OPT_IN=${optInValue} and see docs/how-to/test-against-a-real-node.md.`;
