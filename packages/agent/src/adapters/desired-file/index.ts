/**
 * Standalone: desired state from a YAML file on the host, read anew on every pass. The file is what a person writes;
 * lineage and generation are given here, so that the rest of the agent knows no difference to a hub.
 */
import { readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import {
  desiredStateFile,
  desiredStateVersions,
  digestOfText,
  maxDesiredStateBytes,
  parseVersioned,
  reason,
} from '@felhom/protocol';
import type { DesiredState, DesiredStateFile, ErrorCode, Reason, Versioned } from '@felhom/protocol';
import { loadHeld, storeHeld } from '../../hub-link/held-store.ts';
import type { HeldStateStore } from '../../hub-link/held-store.ts';
import type { Held } from '../../hub-link/adopt-desired.ts';

/** The lineage of every file: there is one history, that of the file. */
export const fileLineage = 'filefilefilefilefilefilefi';

const fileKind: Versioned<DesiredStateFile> = {
  what: 'desired state file',
  versions: desiredStateVersions,
  schema: desiredStateFile,
};

export interface DesiredFile {
  /** Reads the file; what it holds is in `held()` afterwards. Answers whether another document is in force now. */
  refresh(): Promise<boolean>;
  held(): Held;
  /** Why the file as it is now was not adopted. */
  refusal(): Reason | undefined;
}

/** `now` is wall time in milliseconds. Throws only when the store cannot be written. */
export function createDesiredFile(path: string, store: HeldStateStore, now: () => number): DesiredFile {
  let held = loadHeld(store);
  let refusal: Reason | undefined;
  return {
    async refresh() {
      const read = await readDesiredFile(path);
      if (read.is === 'refused') {
        refusal = read.why;
        return false;
      }
      refusal = undefined;
      const next = nextFromFile(read.file, held, now());
      if (next === undefined) return false;
      storeHeld(store, next);
      held = next;
      return true;
    },
    held: () => held,
    refusal: () => refusal,
  };
}

type FileRead =
  { readonly is: 'read'; readonly file: DesiredStateFile } | { readonly is: 'refused'; readonly why: Reason };

async function readDesiredFile(path: string): Promise<FileRead> {
  let text: string;
  try {
    const found = await stat(path);
    // A pipe without a writer would hold up every pass from here on.
    if (!found.isFile()) return refuse('desired.file-unreadable', `${path}: it is no plain file`);
    const { size } = found;
    if (size > maxDesiredStateBytes)
      return refuse('desired.too-large', `${path} has ${size} bytes, at most ${maxDesiredStateBytes} are taken`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    // Gone is not empty: an editor may be replacing it, or its disk may be away.
    return refuse('desired.file-unreadable', `${path}: ${String(error.code)}`);
  }
  return parseDesiredFile(path, text);
}

/** Pure part: YAML (of which JSON is a part) to a checked file. Aliases are capped, so that no file can explode. */
export function parseDesiredFile(path: string, text: string): FileRead {
  let raw: unknown;
  try {
    raw = parse(text, { maxAliasCount: 20, uniqueKeys: true, strict: true, logLevel: 'error' });
  } catch (error) {
    const because = error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'no text';
    return refuse('desired.unreadable', `${path} is not YAML: ${because}`);
  }
  const parsed = parseVersioned(fileKind, raw);
  if (parsed.is === 'ok') return { is: 'read', file: parsed.value };
  return refuse(
    parsed.is === 'unknown-version' ? 'desired.unknown-version' : 'desired.unreadable',
    `${path}: ${parsed.text}`,
  );
}

/** The next generation when the guests differ from what is held; `undefined` when nothing changed. */
export function nextFromFile(
  file: DesiredStateFile,
  held: Held,
  now: number,
): Extract<Held, { is: 'held' }> | undefined {
  // A document of a hub that this host belonged to before is no generation of the file.
  const mine = held.is === 'held' && held.state.lineage === fileLineage ? held.state : undefined;
  const contentOf = ({ guests, backups }: Pick<DesiredState, 'guests' | 'backups'>) =>
    JSON.stringify({ guests, backups });
  if (mine !== undefined && contentOf(mine) === contentOf(file)) return undefined;
  const state: DesiredState = {
    v: 1,
    lineage: fileLineage,
    generation: (mine?.generation ?? 0) + 1,
    guests: file.guests,
    backups: file.backups,
  };
  const text = JSON.stringify(state);
  return { is: 'held', state, digest: digestOfText(text), receivedAt: now, text };
}

function refuse(code: ErrorCode, because: string): FileRead {
  return {
    is: 'refused',
    why: reason(code, `cannot adopt desired state: ${because}. The last good one stays in force`),
  };
}
