/** A guest whose programs talk to their host, without programs: one call after another on the clock of the world. */
import { createCheckpoints } from '@felhom/agent';
import { parseClaim } from '@felhom/protocol';
import { guestFacts } from '../guest/index.ts';
import { labGuest } from '../world/desired.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { openSagas, registered } from '../world/traces.ts';
import { recordOf } from './restore-scenes.ts';
import { agentOf } from './signed-stories.ts';
import { storyVmid } from './story.ts';

const minute = 60_000;

/** Every volume of it can be in a snapshot. */
export const living = labGuest('web', {
  volumes: labGuest('web').volumes.filter(({ storage }) => storage === 'guests'),
  controller: { role: 'controller', config: {} },
});

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Programs {
  /** Asleep, nothing is heard of them; they wake with their guest. */
  asleep: boolean;
  token: string | undefined;
  /** The status with which their last look at what they should run was answered. */
  answered: number | undefined;
  /** Digest of an image that does not become healthy. */
  ill: string | undefined;
  /** What they want of their host: asked again until it was answered, with the same idempotency key. */
  wants: { readonly path: string; readonly body: unknown } | undefined;
  operation: string | undefined;
  /** The last that was heard of it. */
  standing: Answer['body'] | undefined;
  readonly secrets: Set<string>;
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer>;
}

const programs = new WeakMap<SimWorld, Programs>();

export function programsOf(world: SimWorld): Programs {
  const found = programs.get(world);
  if (found === undefined) throw new Error('cannot tell the story: no programs run in the guest');
  return found;
}

/** From now on; they outlive every life of the agent. */
export function wake(world: SimWorld, asleep = false): Programs {
  const { clock, node } = world;
  const mine: Programs = {
    asleep,
    token: undefined,
    answered: undefined,
    ill: undefined,
    wants: undefined,
    operation: undefined,
    standing: undefined,
    secrets: new Set(),
    call: (method, path, body) => ask(world, mine, method, path, body),
  };
  programs.set(world, mine);
  node.guests.onPower(({ vmid, is }) => {
    if (vmid === storyVmid && is === 'up') mine.asleep = false;
  });
  void (async () => {
    for (;;) {
      await clock.sleep(5_000);
      const talks = !mine.asleep && node.guests.exists(storyVmid) && node.guests.isRunning(storyVmid);
      // An agent without power never answers.
      if (talks && world.life() !== undefined)
        await Promise.race([talk(world, mine).catch(() => undefined), clock.sleep(20_000)]);
    }
  })();
  return mine;
}

async function ask(
  world: SimWorld,
  { token, wants }: Programs,
  method: 'GET' | 'POST',
  target: string,
  body?: unknown,
): Promise<Answer> {
  const api = agentOf(world).localApi();
  const [net] = guestFacts(world.node, storyVmid).interfaces;
  if (api === undefined || net === undefined) return { status: 0, body: {} };
  const bytes = Buffer.from(body === undefined ? '' : JSON.stringify(body), 'utf8');
  const answer = await api.handle(
    {
      method,
      target,
      headers: {
        authorization: token === undefined ? undefined : `Bearer ${token}`,
        'idempotency-key': target === wants?.path ? 'of-the-story' : undefined,
        'content-type': body === undefined ? undefined : 'application/json',
      },
      readBody: () => Promise.resolve(new Uint8Array(bytes)),
      port: { is: 'guest', vmid: storyVmid, net: net.net, mac: net.mac, port: net.port },
    },
    new AbortController().signal,
  );
  return { status: answer.status, body: JSON.parse(answer.body) as Answer['body'] };
}

async function talk(world: SimWorld, mine: Programs): Promise<void> {
  const desired = mine.token === undefined ? undefined : await mine.call('GET', '/v1/controller');
  mine.answered = desired?.status;
  if (desired === undefined || desired.status === 401) {
    const claim = parseClaim(guestFacts(world.node, storyVmid).environment['FELHOM_CLAIM'] ?? '');
    if (claim === undefined) return;
    mine.secrets.add(claim.secret);
    mine.token = undefined;
    const { status, body } = await mine.call('POST', '/v1/bootstrap/redeem', { claim: claim.secret });
    if (status !== 200) return;
    mine.token = String(body['token']);
    mine.secrets.add(mine.token);
    return;
  }
  const { generation, image, stateOf } = desired.body as {
    readonly generation: number;
    readonly image: { readonly digest: string; readonly version: string } | null;
    readonly stateOf?: number;
  };
  await mine.call('POST', '/v1/controller/status', {
    generation,
    digest: image?.digest ?? null,
    health: image?.digest === mine.ill ? 'unhealthy' : 'healthy',
    restarts: 0,
    quiesced: false,
    ...(stateOf === undefined ? {} : { stateCopyOf: stateOf }),
  });
  if (mine.wants !== undefined && mine.operation === undefined) {
    const { status, body } = await mine.call('POST', mine.wants.path, mine.wants.body);
    if (status === 202) mine.operation = String(body['id']);
  } else if (mine.operation !== undefined) {
    mine.standing = (await mine.call('GET', `/v1/operations/${mine.operation}`)).body;
  }
}

/** A life of the agent until this is so; it is off afterwards. */
export async function lived(world: SimWorld, condition: () => boolean, what: string, ms = 30 * minute): Promise<void> {
  world.boot();
  const came = await world.until(condition, ms);
  const report = JSON.stringify(agentOf(world).report().findings);
  world.cut();
  if (!came) throw new Error(`cannot tell the story: ${what} does not come: ${report}`);
}

export const hasClaim = ({ node }: SimWorld): boolean =>
  node.guests.exists(storyVmid) && (node.guests.config(storyVmid).active.get('env') ?? '').includes('FELHOM_CLAIM=');

/** It is to go with the next start: of a running guest that is all that can be had. */
export const claimGoes = (world: SimWorld): boolean => {
  const text = world.host.rawConfig(storyVmid) ?? '';
  const [, pending = ''] = text.split(/^\[pve:pending\]$/m);
  return !hasClaim(world) || /^delete: .*\benv\b/m.test(pending) || /^env: (?!.*FELHOM_CLAIM)/m.test(pending);
};

/** Its programs have a token, nothing of the claim is left to be done, and nothing else is under way. */
export async function settledIn(world: SimWorld): Promise<void> {
  const mine = wake(world);
  await lived(
    world,
    () => mine.token !== undefined && claimGoes(world) && openSagas(world).length === 0,
    'a controller that has its token',
  );
}

/** What its controller runs, as the host has it. */
export const controllerOf = (world: SimWorld) =>
  world.disk().get(`controller/${registered(world)[0]?.uid ?? ''}`)?.body as
    | {
        readonly desired: { readonly image: { readonly version: string } | null; readonly directive: string };
        readonly before?: unknown;
        readonly failed: readonly unknown[];
      }
    | undefined;

/** Admitted once, as signed by whom the host trusts for releases. */
export function released(world: SimWorld, version: string, digest: string): void {
  const now = Math.trunc(world.clock.now());
  const manifest = {
    v: 1,
    product: 'controller',
    role: 'controller',
    version,
    digests: [digest],
    issuedAt: now,
    expiresAt: now + 30 * 86_400_000,
    rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: now }] },
  };
  const body = {
    manifest,
    payload: 'e30=',
    signatures: ['a signature'],
    digest: digest.replaceAll('1', '3'),
    people: ['alice'],
    at: now,
  };
  world.disk().put({ key: 'release/controller/controller', v: 1, body });
}

export const checkpointsOf = (world: SimWorld) => createCheckpoints(world.disk()).of(recordOf(world).uid);

export const snapshotsOf = ({ node }: SimWorld): readonly string[] => [
  ...node.guests.config(storyVmid).snapshots.keys(),
];

/** No secret and no token of the guest lies on the disk of the agent. */
export function told(world: SimWorld): readonly string[] {
  const disk = Buffer.from(world.copyDisk()).toString('latin1');
  const { secrets } = programsOf(world);
  return [
    ...(secrets.size === 0 ? ['the guest never had a secret'] : []),
    ...[...secrets]
      .map((secret) => secret.replace(/^felhom1_/, ''))
      .filter((secret) => disk.includes(secret))
      .map(() => 'a secret of the guest lies in the journal'),
  ];
}

/** Its programs have a token that counts, or are just getting one: sooner than a silent guest would be healed. */
export async function heard(world: SimWorld): Promise<readonly string[]> {
  const mine = programsOf(world);
  const came = await world.until(() => mine.answered === 200, 2 * minute);
  return came ? [] : [`its programs are answered with ${mine.answered ?? 'nothing'}`];
}
