/** A stage of a test: its own folder, and nothing of it left afterwards. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Finding } from '@felhom/protocol';
import { openStage } from './stage.ts';
import type { Stage, StageOptions } from './stage.ts';

const quick = { restoreMs: 100, startMs: 50, stopMs: 50, allocateMs: 10, unauthorizedMs: 50 };

export async function stageFor(t: TestContext, options: Omit<StageOptions, 'folder'> = {}): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-stage-'));
  const stage = await openStage({
    folder,
    lifeless: true,
    pace: quick,
    config: { reconcile: { everySeconds: 1 } },
    ...options,
  });
  t.after(async () => {
    await stage.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return stage;
}

export async function applyGuests(stage: Stage, guests: readonly unknown[]): Promise<void> {
  const file = join(stage.place.folder, 'guests.yaml');
  writeFileSync(file, JSON.stringify({ v: 1, guests }));
  const run = await stage.felhom(['desired', 'apply', 'lab', file, '--yes']);
  if (run.code !== 0) throw new Error(run.err);
}

export async function untilConverged(stage: Stage): Promise<void> {
  await stage.until('converged', async () => (await stage.report())?.converged === true);
}

/** Waits for a finding whose text matches. */
export async function untilFinding(stage: Stage, text: RegExp): Promise<Finding> {
  let found: Finding | undefined;
  await stage.until(`a finding like ${text.source}`, async () => {
    found = (await stage.report())?.findings.find((finding) => text.test(finding.text));
    return found !== undefined;
  });
  if (found === undefined) throw new Error('unreachable');
  return found;
}
