/** Whose signature it is, over what, made for what: everything short of two good ones by two people. */
import { signatureNamespaces, writeEnvelope } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import { createTouchKey } from '../../world/operators.ts';
import type { Operator } from '../../world/operators.ts';
import { sealed } from '../../world/sign-job.ts';
import { labTrust } from '../../world/trust.ts';
import { createSimRandom } from '../../simulation/sim-random.ts';
import { startAt } from '../../world/sim-world.ts';
import { day, minute } from '../trick.ts';
import type { Cast, Target, Trick } from '../trick.ts';

const { job, release, report } = signatureNamespaces;
const gain = 'photos is removed with all its volumes';
const refused = { audit: /envelope\.refused|job\.refused/, shown: /envelope\.refused/ };
const waits = { audit: /job\./, shown: /"state":"waiting"/ };

type Changed = Partial<Record<keyof Cast, Partial<TrustDocument['signers'][number]>>>;

/** The trust document of the lab, with changes to what it says of some people. */
function trustWith(cast: Cast, changed: Changed, more: readonly Operator[] = []): { trust: Partial<TrustDocument> } {
  const { signers } = labTrust([cast.alice, cast.bob, cast.carol, ...more], startAt);
  return {
    trust: {
      signers: signers.map((signer) => {
        const person = (['alice', 'bob', 'carol'] as const).find((name) => signer.key === cast[name].keyLine);
        return person === undefined ? signer : { ...signer, ...changed[person] };
      }),
    },
  };
}

/** One row: envelopes that are made from a good removal. */
function row(
  name: string,
  envelopes: (target: Target) => readonly string[],
  leaves: Trick['leaves'] = refused,
  host?: Trick['host'],
): Trick {
  return {
    name,
    gain,
    ...(host === undefined ? {} : { host }),
    play: (target) => target.deliver(...envelopes(target)),
    leaves,
  };
}

const inNamespace = (person: Operator, namespace: string): Pick<Operator, 'sign'> => ({
  sign: (_, payload) => person.sign(namespace, payload),
});

export const signatureTricks: readonly Trick[] = [
  row('nobody signed', ({ removal }) => [removal([]).envelope]),
  row('an unknown key signed', ({ removal, cast }) => [
    removal([cast.mallory, cast.key('mallory', 'second')]).envelope,
  ]),
  row(
    'one of two, and an unknown key beside it',
    ({ removal, cast }) => [removal([cast.alice, cast.mallory]).envelope],
    waits,
  ),
  row('one person signed twice', ({ removal, cast }) => [removal([cast.alice, cast.alice]).envelope], waits),
  row(
    'one person signed with two keys',
    ({ removal, cast }) => [removal([cast.alice, cast.key('alice', 'second')]).envelope],
    waits,
    (cast) => trustWith(cast, {}, [cast.key('alice', 'second')]),
  ),
  row(
    'one person signed in two envelopes with two keys',
    ({ removal, cast }) => {
      const one = removal([cast.alice]);
      return [one.envelope, sealed(one.payload, [cast.key('alice', 'second')])];
    },
    waits,
    (cast) => trustWith(cast, {}, [cast.key('alice', 'second')]),
  ),
  row(
    'one of two keys is revoked',
    ({ removal, cast }) => [removal([cast.alice, cast.carol]).envelope],
    waits,
    (cast) => ({ trust: { revoked: [cast.carol.keyLine] } }),
  ),
  row(
    'the only key is revoked',
    ({ removal, cast }) => [removal([cast.carol]).envelope],
    refused,
    (cast) => ({ trust: { revoked: [cast.carol.keyLine] } }),
  ),
  row(
    'keys whose time is over',
    ({ removal, cast }) => [removal([cast.alice, cast.bob]).envelope],
    refused,
    (cast) => trustWith(cast, { alice: { validBefore: startAt - day }, bob: { validBefore: startAt - day } }),
  ),
  row(
    'keys whose time has not come',
    ({ removal, cast }) => [removal([cast.alice, cast.bob]).envelope],
    refused,
    (cast) => trustWith(cast, { alice: { validAfter: startAt + day }, bob: { validAfter: startAt + day } }),
  ),
  row(
    'keys that may sign releases only',
    ({ removal, cast }) => [removal([cast.key('rita', 'only'), cast.key('rolf', 'only')]).envelope],
    refused,
    (cast) => {
      const more = [cast.key('rita', 'only'), cast.key('rolf', 'only')];
      const { trust } = trustWith(cast, {}, more);
      const keys = new Set(more.map(({ keyLine }) => keyLine));
      return {
        trust: {
          ...trust,
          signers: (trust.signers ?? []).map((one) => (keys.has(one.key) ? { ...one, signs: [release] } : one)),
        },
      };
    },
  ),
  row('signatures made for releases', ({ removal, cast }) => [
    removal([inNamespace(cast.alice, release), inNamespace(cast.bob, release)]).envelope,
  ]),
  row('signatures made for reports', ({ removal, cast }) => [
    removal([inNamespace(cast.alice, report), inNamespace(cast.bob, report)]).envelope,
  ]),
  row('signatures of another program of the same people', ({ removal, cast }) => [
    removal([inNamespace(cast.alice, 'git'), inNamespace(cast.bob, 'file')]).envelope,
  ]),
  row('the signatures of one job on another', ({ removal, world, cast }) => {
    const { alice, bob } = cast;
    const cancel = world.sign('cancel', { job: 'a'.repeat(26) }, []);
    const signatures = [alice, bob].map((person) => person.sign(job, cancel.payload));
    return [writeEnvelope(removal([]).payload, signatures)];
  }),
  row('one byte of a signed payload', ({ removal, cast, guest }) => {
    const good = removal([cast.alice, cast.bob]);
    const { uid } = guest('photos');
    const other = good.payload.toString('utf8').replace(uid, guest('web').uid);
    const { signatures } = JSON.parse(good.envelope) as { readonly signatures: readonly string[] };
    return [writeEnvelope(Buffer.from(other), signatures)];
  }),
  row('eight worthless signatures before the good ones', ({ removal, cast }) => {
    const good = removal([cast.alice, cast.bob]);
    const junk = Array.from({ length: 8 }, (_, at) => cast.key('mallory', `junk ${at}`).sign(job, good.payload));
    const { signatures } = JSON.parse(good.envelope) as { readonly signatures: readonly string[] };
    return [writeEnvelope(good.payload, [...junk, ...signatures])];
  }),
  row(
    'a key that has to be touched, and was not',
    ({ removal, cast }) => {
      const stick = touchKey();
      return [removal([cast.alice, { sign: (namespace, payload) => stick.sign(namespace, payload, false) }]).envelope];
    },
    waits,
    (cast) => {
      const { signers } = labTrust([cast.alice, cast.bob, cast.carol, touchKey()], startAt);
      return { trust: { signers: signers.map((one) => ({ ...one, touch: one.key.startsWith('sk-') })) } };
    },
  ),
  {
    name: "the host's own signature, sent back as a job",
    gain: 'whatever the host signs becomes an order',
    play: async (target) => {
      const { signed } = target.world.hub.lastStatement() ?? {};
      if (signed === undefined) throw new Error('the host made no statement');
      await target.deliver(writeEnvelope(Buffer.from(signed.text), [signed.signature]));
    },
    leaves: refused,
  },
  {
    name: 'one of two people is revoked after both signed',
    gain: 'a stolen key still counts for what it signed in time',
    host: () => ({ policy: { removal: { coolOffMinutes: 30, quarantineHours: 1 / 60 } } }),
    play: async (target) => {
      const { world, cast } = target;
      await target.deliver(target.removal([cast.alice, cast.bob]).envelope);
      await target.reach('the removal cools off', () =>
        /cooling-off/.test(JSON.stringify(target.agent().report().jobs)),
      );
      const read = world.root.store.read();
      if (read.is === 'held') world.root.put({ ...read.document, revoked: [cast.bob.keyLine] });
      target.asMeant();
      await target.pass(40 * minute);
    },
    leaves: { audit: /job\./, shown: /job\.more-people|"state":"refused"/ },
  },
  {
    name: 'an envelope from before the revocation, kept back until after it',
    gain: 'a stolen key goes on being good for what it signed in time',
    play: async (target) => {
      const { world, cast } = target;
      const kept = target.removal([cast.alice, cast.carol]);
      const read = world.root.store.read();
      if (read.is !== 'held') throw new Error('there is no trust document');
      world.root.put({ ...read.document, revoked: [cast.carol.keyLine] });
      target.asMeant();
      await target.deliver(kept.envelope);
      await target.pass(5 * minute);
    },
    leaves: waits,
  },
];

function touchKey(): ReturnType<typeof createTouchKey> {
  return createTouchKey('ted', createSimRandom(1).fork('stick'));
}
