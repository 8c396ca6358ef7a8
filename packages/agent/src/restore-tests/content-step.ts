/** The data of the scratch guest against what its source declared when the backup was taken, and so the last grade. */
import { want } from '../bring-up/index.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { compareContent, volumesToCompare } from './content.ts';
import { failure } from './check-step.ts';
import { withTiming } from './test-state.ts';
import type { RestoreTestState, TestContext, TestResult } from './test-state.ts';

export async function content(ctx: TestContext, signal: AbortSignal): Promise<Outcome<Partial<RestoreTestState>>> {
  if (ctx.state.result !== undefined) return done({});
  const { needs, params, clock } = ctx;
  const { grade, trouble } = want(ctx, 'health');
  const record = needs.catalogue.byId(params.backup.id);
  const digest = record?.manifest?.digest;
  const manifest = digest === undefined ? undefined : needs.manifests.byDigest(digest);
  const volumes = manifest === undefined ? [] : volumesToCompare(manifest, record?.risk.comesBackEmpty ?? []);
  if (digest === undefined || volumes.length === 0)
    return done({ result: withoutData(grade, trouble, 'no content manifest was stored with it') });
  const begun = clock.now();
  const vmid = want(ctx, 'vmid');
  ctx.progress({ text: `comparing the data of scratch guest ${vmid}` });
  const asked = volumes.map(({ path, samples }) => ({ path, samples: samples.map((sample) => sample.path) }));
  const found = await needs.helper.scratchRead(vmid, asked, signal);
  if (found.is === 'unknown') return found;
  if (found.is === 'refused')
    return done({ result: withoutData(grade, trouble, `its volumes cannot be read: ${found.why.text}`) });
  const compared = compareContent(volumes, found.value);
  const { text, ...counts } = compared;
  return done({
    timings: withTiming(ctx, { contentMs: Math.max(0, clock.now() - begun) }),
    content: counts,
    manifest: digest,
    result:
      compared.mismatches > 0
        ? failure('damaged', 'restore-test.damaged', text)
        : withData(grade, trouble, record?.massChange === true),
  });
}

const unknownTrouble = /^unknown: /;

function withData(grade: 'booted' | 'healthy', trouble: string, massChange: boolean): TestResult {
  // Whoever encrypts a guest's data writes a manifest that matches [R24].
  if (grade === 'healthy' && massChange)
    return {
      grade,
      verdict: 'unproven',
      code: 'restore-test.unproven',
      text: 'its data is what it declared, and that differs so much from the backup before that somebody has to look',
    };
  if (grade === 'healthy') return { grade: 'proven', verdict: 'passed', text: '' };
  return unwell(trouble, 'its data is what it declared');
}

function withoutData(grade: 'booted' | 'healthy', trouble: string, why: string): TestResult {
  if (grade === 'booted') return unwell(trouble, why);
  return {
    grade,
    verdict: 'unproven',
    code: 'restore-test.unproven',
    text: `it is well, and its data could not be compared: ${why}`,
  };
}

/** What was seen to be wrong fails; what was only not seen is not shown. */
function unwell(trouble: string, data: string): TestResult {
  if (unknownTrouble.test(trouble))
    return {
      grade: 'booted',
      verdict: 'unproven',
      code: 'restore-test.unproven',
      text: `it booted, and that it is well was not shown: ${trouble.replace(unknownTrouble, '')}; ${data}`,
    };
  return failure('booted', 'restore-test.unwell', `${trouble}; ${data}`);
}
