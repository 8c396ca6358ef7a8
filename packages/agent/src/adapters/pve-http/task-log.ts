/** Reads a task's log forward, each line once, and keeps its last lines for people. */
import type { Upid } from '@felhom/protocol';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

const pageLines = 500;
const tailLines = 20;
/** A log can be huge (a restore that warns per file); reading all of it to show the end would be waste. */
const mostPages = 4;

export interface TaskLog {
  /** Reads what is new; answers how many lines that were. A log that cannot be read now has none. */
  readNew(onLine: ((line: string) => void) | undefined, signal: AbortSignal): Promise<number>;
  tail(): readonly string[];
}

export function followLog(caller: Caller, node: string, upid: Upid): TaskLog {
  let next = 0;
  let last: string[] = [];
  return {
    async readNew(onLine, signal) {
      let found = 0;
      for (let page = 0; page < mostPages; page += 1) {
        const what = `read the log of task ${upid}`;
        const call = { what, path: ['nodes', node, 'tasks', upid, 'log'], params: { start: next, limit: pageLines } };
        const answer = await caller.read(call, signal);
        const lines = readAs(what, answer, shapes.taskLog);
        if (lines.is !== 'done' || answer.is !== 'done') return found;
        // Proxmox answers an empty log with this one made-up line.
        const fresh = lines.value.filter((line) => !(line.n === 1 && line.t === 'no content'));
        if (fresh.length === 0) return found;
        found += fresh.length;
        next += fresh.length;
        last = [...last, ...fresh.map((line) => line.t)].slice(-tailLines);
        for (const line of fresh) onLine?.(line.t);
        const total = answer.value.total ?? next;
        if (next >= total) return found;
        if (page === mostPages - 2) next = Math.max(next, total - pageLines);
      }
      return found;
    },
    tail: () => last,
  };
}
