import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { createLocalClient, guestPaths, httpsConnect } from '@felhom/controller';
import type { LocalClient } from '@felhom/controller';
import { addressOfGuest } from '../guest/index.ts';
import type { Answers, Spoils } from '../stage/blast.ts';
import type { Stage } from '../stage/stage.ts';
import { dueNow, labGuest, livingGuest } from '../world/desired.ts';
import { brisk, controllersUp, copiesOf, filesOf, quickTests, releaseController } from './living.ts';
import { NotAsTold, vmidOf } from './scenario.ts';
import type { Scenario } from './scenario.ts';

const guests = [livingGuest('good'), livingGuest('bad')];
const blastSeconds = 15;
const program = resolve(import.meta.dirname, '../stage/blast.ts');

/** One guest was taken over. Its neighbours and its host go on. */
export const hostileGuest = {
  name: 'hostile-guest',
  about: 'one guest does its worst against its host; the one beside it is served, backed up, and told nothing of it',
  stage: { signed: true, pace: brisk, policy: quickTests },
  async play(scene) {
    const { stage, tell, apply, converged, expect, check, show } = scene;
    await apply(guests);
    await releaseController(scene);
    tell.step('The agent starts.');
    stage.agent.start();
    await converged(['good', 'bad']);
    await controllersUp(scene, ['good', 'bad']);
    const [good, bad] = [await sessionOf(stage, 'good'), await sessionOf(stage, 'bad')];
    const client = clientOf(stage, 'good', good);
    const quiet = await times(client, 3);
    tell.note(`good is answered within ${slowest(quiet)} ms`);

    tell.step('bad is taken over: requests without end, slow bytes, giant bodies, connections, and the token of good.');
    const [host = '', port = ''] = stage.localApi.split(':');
    const from = addressOfGuest(vmidOf(stage, 'bad'));
    const attack = attackWith({ host, port: Number(port), from, ca: bad.ca, own: bad.token, stolen: good.token });
    try {
      await apply([...guests, labGuest('later')], [dueNow('nightly', 'local', Date.now())]);
      const fired = await times(client, blastSeconds);
      check(
        `good is answered every time, within ${slowest(fired)} ms`,
        fired.every(({ is }) => is === 'ok'),
      );
      await expect('the host brings up another guest meanwhile', ({ guests: seen }) =>
        seen.some(({ name, status }) => name === 'later' && status === 'running'),
      );
      await expect(
        'good is backed up meanwhile, with its apps held still',
        (report) => copiesOf(report, 'good').some(({ consistency }) => consistency === 'app'),
        120_000,
      );
      const { findings } = await expect('the findings name bad', (report) =>
        ['local-api.flood', 'local-api.foreign-token'].every((key) =>
          report.findings.some((finding) => finding.key === key && finding.subject === 'bad'),
        ),
      );
      for (const { key, text } of findings) if (key.startsWith('local-api.')) tell.note(text);
      check(
        'and nobody else',
        findings.every(({ key, subject }) => !key.startsWith('local-api.') || subject === 'bad'),
      );
      const answers = attack.answers();
      const counts = Object.entries(answers).map(([what, n]) => `${what}: ${n}`);
      tell.note(`what bad got for it: ${counts.join(', ')}`);
      check('the token of good got it nothing', !Object.keys(answers).some((what) => what.startsWith('stolen 2')));
    } finally {
      attack.end();
    }
    await converged(['good', 'bad', 'later']);
    await stage.until('the hub knows', async () =>
      (await stage.felhom(['status', 'lab'])).out.includes('token of another'),
    );
    await show(['status', 'lab']);
  },
} satisfies Scenario;

interface Session {
  readonly token: string;
  readonly ca: readonly string[];
}

/** As it lies in the guest: whoever is root there has it. */
async function sessionOf(stage: Stage, name: string): Promise<Session> {
  const bytes = await filesOf(stage, name).read(guestPaths.session, 65_536);
  if (bytes === undefined) throw new NotAsTold(`${name} has no token`);
  return JSON.parse(new TextDecoder().decode(bytes)) as Session;
}

function clientOf(stage: Stage, name: string, { token, ca }: Session): LocalClient {
  const connect = httpsConnect({ localAddress: addressOfGuest(vmidOf(stage, name)) });
  const clock = {
    now: () => Date.now(),
    sleep: (ms: number) => new Promise<void>((done) => setTimeout(done, ms)),
  };
  return createLocalClient({ transport: connect(stage.localApi, { is: 'ca', pems: ca }), clock, token });
}

interface Asked {
  readonly is: string;
  readonly ms: number;
}

const slowest = (asked: readonly Asked[]): number => Math.max(...asked.map(({ ms }) => Math.round(ms)));

/** Asks once a second: a good guest asks seldom. */
async function times(client: LocalClient, seconds: number): Promise<readonly Asked[]> {
  const asked: Asked[] = [];
  for (let n = 0; n < seconds; n += 1) {
    const began = performance.now();
    const { is } = await client.backupStatus({}, AbortSignal.timeout(30_000));
    asked.push({ is, ms: performance.now() - began });
    await new Promise((done) => setTimeout(done, 1_000));
  }
  return asked;
}

function attackWith(spoils: Spoils): { readonly answers: () => Answers; end(): void } {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    env: { PATH: process.env['PATH'] ?? '' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let answers: Answers = {};
  createInterface({ input: child.stdout }).on('line', (line) => (answers = JSON.parse(line) as Answers));
  child.stdin.write(`${JSON.stringify(spoils)}\n`);
  return { answers: () => answers, end: () => void child.kill('SIGKILL') };
}
