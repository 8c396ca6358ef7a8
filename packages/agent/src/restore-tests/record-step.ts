/** The evidence: signed by the host, chained into the audit log and kept, with what the catalogue makes of it, in one write. */
import type { RestoreEvidence } from '@felhom/protocol';
import { want } from '../bring-up/index.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import type { DocumentWrite } from '../kernel/journal.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import { signEvidence } from './evidence-store.ts';
import { nameOf } from './test-state.ts';
import type { RestoreTestState, TestContext } from './test-state.ts';

export async function record(ctx: TestContext): Promise<Outcome<Partial<RestoreTestState>>> {
  const { needs } = ctx;
  const evidence = evidenceOf(ctx);
  const signed = signEvidence(evidence, needs.hostKey);
  const { verdict, grade, text, guest, tier, backup } = evidence;
  needs.audit.append(
    {
      at: evidence.endedAt,
      kind: `restore-test.${verdict}`,
      text: `restore-test of ${nameOf(ctx.params)}: ${verdict} (${grade})${text === '' ? '' : `: ${text}`}`,
      detail: {
        evidence: signed.digest,
        backup: backup.id,
        archive: backup.archive,
        sha256: backup.sha256,
        tier,
        verdict,
        grade,
      },
      guest,
    },
    { documents: [...needs.evidence.writes(signed), ...catalogueWrites(ctx, evidence, signed.digest)] },
  );
  return done({ evidence: signed.digest });
}

export async function probeRecord(ctx: TestContext): Promise<Probed<Partial<RestoreTestState>>> {
  const there = ctx.needs.evidence.ofTest(ctx.sagaId);
  return there === undefined ? { is: 'never-happened' } : done({ evidence: there.digest });
}

function evidenceOf(ctx: TestContext): RestoreEvidence {
  const { params, state, needs } = ctx;
  const result = want(ctx, 'result');
  return {
    v: 1,
    host: needs.host,
    test: ctx.sagaId,
    guest: params.guest.uid,
    name: params.guest.name,
    tier: params.tier,
    backup: { ...params.backup, takenAt: want(ctx, 'takenAt') },
    verdict: result.verdict,
    grade: result.grade,
    ...(result.code === undefined ? {} : { code: result.code }),
    text: result.text.toWellFormed().slice(0, 1000),
    startedAt: ctx.startedAt,
    endedAt: ctx.intentAt,
    timings: state.timings ?? {},
    ...(state.content === undefined ? {} : { content: state.content }),
    ...(state.manifest === undefined ? {} : { manifest: state.manifest }),
  };
}

/** A pass lifts an earlier failure of the same copy; a failure stands beside an earlier pass. */
function catalogueWrites(ctx: TestContext, evidence: RestoreEvidence, digest: string): readonly DocumentWrite[] {
  const before = ctx.needs.catalogue.byId(evidence.backup.id);
  if (before === undefined) return [];
  const { proven, failedTest: _earlier, ...rest } = before;
  const at = evidence.endedAt;
  const named = digest as NonNullable<BackupRecord['proven']>['evidence'];
  if (evidence.verdict === 'passed') {
    const { restoreMs = 0, bootMs = 0 } = evidence.timings;
    return [ctx.needs.catalogue.write({ ...rest, proven: { at, evidence: named, rtoMs: restoreMs + bootMs } })];
  }
  if (evidence.verdict !== 'failed') return [];
  const text = evidence.text.slice(0, 300);
  return [
    ctx.needs.catalogue.write({
      ...rest,
      ...(proven === undefined ? {} : { proven }),
      failedTest: { at, evidence: named, text },
    }),
  ];
}
