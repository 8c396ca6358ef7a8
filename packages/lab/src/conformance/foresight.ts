/**
 * What a recording says about the future of a task: when it was seen to end, and how. A real worker takes real time; ours
 * is held until the recording has seen it end, so that both worlds look the same in between.
 */
import { textOf } from '../fake-pve/core.ts';
import { barePath, dataOf, isRecord, type Item } from './exchange.ts';

export interface TaskFuture {
  /** Index of the first item that shows the task ended, or that aborts it; undefined when nobody looked. */
  readonly endsBefore: number | undefined;
  readonly how: 'by-itself' | 'killed' | 'aborted';
}

export function futureOf(upid: string, items: readonly Item[], after: number): TaskFuture {
  let abortedAt: number | undefined;
  for (let n = after + 1; n < items.length; n += 1) {
    const item = items[n];
    if (item?.is !== 'call') continue;
    const { call } = item;
    const path = decodeURIComponent(barePath(call));
    const data = dataOf(call);
    if (path.endsWith(upid) && call.method === 'DELETE' && call.status === 200) abortedAt ??= n;
    if (path.endsWith(`${upid}/status`) && isRecord(data) && data['status'] === 'stopped') {
      const exit = textOf(data['exitstatus']);
      if (exit === 'unexpected status') return { endsBefore: n, how: 'killed' };
      if (abortedAt === undefined) return { endsBefore: n, how: 'by-itself' };
      const wasAborted = exit === 'job errors' || /interrupt/.test(exit);
      return { endsBefore: abortedAt, how: wasAborted ? 'aborted' : 'by-itself' };
    }
    if (path.endsWith('/tasks') && Array.isArray(data)) {
      const row: unknown = data.find((entry) => isRecord(entry) && entry['upid'] === upid);
      if (isRecord(row) && row['endtime'] !== undefined)
        return { endsBefore: n, how: row['status'] === 'unexpected status' ? 'killed' : 'by-itself' };
    }
  }
  return { endsBefore: abortedAt, how: 'by-itself' };
}
