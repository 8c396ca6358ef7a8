import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { localCaFileName, openLocalCa } from './index.ts';
import type { LocalCa } from './index.ts';

const day = 24 * 3_600_000;
const start = Date.parse('2026-11-26T12:00:00Z');

interface Place {
  readonly directory: string;
  now: number;
  readonly open: () => Promise<LocalCa>;
}

function place(test: TestContext): Place {
  const directory = mkdtempSync(join(tmpdir(), 'local-ca-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  const here: Place = {
    directory,
    now: start,
    open: async () => {
      const opened = await openLocalCa({ directory, address: '10.0.0.1', clock: { now: () => here.now } });
      assert.equal(opened.is, 'loaded', JSON.stringify(opened));
      return opened.value;
    },
  };
  return here;
}

function chainOf(ca: LocalCa): X509Certificate[] {
  const pems = String(ca.secureContext().cert).match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
  return pems.map((pem) => new X509Certificate(pem));
}
const lastsDays = (cert: X509Certificate | undefined): number =>
  ((cert?.validToDate.getTime() ?? 0) - (cert?.validFromDate.getTime() ?? 0)) / day;

describe('the authority of the local API', () => {
  it('makes itself once, in one file for nobody else, and is the same ever after', async (test) => {
    const here = place(test);
    const ca = await here.open();
    assert.deepEqual(readdirSync(here.directory), [localCaFileName]);
    assert.equal(statSync(join(here.directory, localCaFileName)).mode & 0o777, 0o600);
    const [server, authority] = chainOf(ca);
    assert.equal(authority?.ca, true);
    assert.equal(server?.ca, false);
    assert.equal(server?.checkIssued(authority), true);
    assert.equal(server?.verify(authority?.publicKey as never), true);
    assert.equal(server?.checkIP('10.0.0.1'), '10.0.0.1');
    assert.equal(lastsDays(server), 90);
    assert.equal(lastsDays(authority), 3650);
    assert.equal(server?.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    const spki = authority?.publicKey.export({ type: 'spki', format: 'der' }) ?? Buffer.alloc(0);
    assert.equal(ca.spkiSha256(), createHash('sha256').update(spki).digest('hex'));
    const again = await here.open();
    assert.deepEqual(again.secureContext(), ca.secureContext());
    assert.deepEqual(again.trusted(), ca.trusted());
  });

  it('renews the server certificate at two thirds of its life, and only that', async (test) => {
    const here = place(test);
    const ca = await here.open();
    const before = ca.secureContext();
    const trusted = ca.trusted();
    here.now = start + 59 * day;
    assert.equal(await ca.renew(), false);
    here.now = start + 60 * day;
    assert.equal(await ca.renew(), true);
    assert.notEqual(ca.secureContext().key, before.key);
    assert.deepEqual(ca.trusted(), trusted);
    assert.equal(chainOf(ca)[0]?.validToDate.getTime(), here.now - 3_600_000 + 90 * day);
    assert.deepEqual((await here.open()).secureContext(), ca.secureContext());
    assert.equal(await ca.renew(), false);
  });

  it('hands out both CAs for a year before the next one signs', async (test) => {
    const here = place(test);
    const ca = await here.open();
    const pin = ca.spkiSha256();
    here.now = start + 2434 * day;
    await ca.renew();
    assert.equal(ca.trusted().length, 2);
    assert.equal(ca.spkiSha256(), pin);
    const next = ca.trusted()[1] ?? '';
    assert.equal(chainOf(ca)[1]?.toString(), new X509Certificate(ca.trusted()[0] ?? '').toString());
    here.now += 364 * day;
    await ca.renew();
    assert.equal(ca.spkiSha256(), pin);
    here.now += day;
    assert.equal(await ca.renew(), true);
    assert.deepEqual(ca.trusted(), [next]);
    assert.notEqual(ca.spkiSha256(), pin);
    assert.equal(chainOf(ca)[0]?.checkIssued(new X509Certificate(next)), true);
  });

  it('changes at once when told to, and twice is once', async (test) => {
    const here = place(test);
    const ca = await here.open();
    await Promise.all([ca.beginChange(), ca.beginChange()]);
    const [, next] = ca.trusted();
    assert.deepEqual((await here.open()).trusted(), ca.trusted());
    await Promise.all([ca.finishChange(), ca.finishChange()]);
    assert.deepEqual(ca.trusted(), [next]);
    assert.deepEqual((await here.open()).trusted(), [next]);
  });

  it('keeps its key, and every pin, when the clock was far off at first', async (test) => {
    const here = place(test);
    here.now = Date.parse('1970-01-02T00:00:00Z');
    const pin = (await here.open()).spkiSha256();
    here.now = start;
    const ca = await here.open();
    assert.equal(ca.spkiSha256(), pin);
    const [server, authority] = chainOf(ca);
    assert.equal(server?.verify(authority?.publicKey as never), true);
    for (const cert of [server, authority])
      assert.ok(cert !== undefined && cert.validFromDate.getTime() < start && cert.validToDate.getTime() > start);
  });

  it('gets a server certificate for another address', async (test) => {
    const here = place(test);
    const pin = (await here.open()).spkiSha256();
    const options = { directory: here.directory, address: 'fd00::1', clock: { now: () => start } };
    const moved = await openLocalCa(options);
    assert.ok(moved.is === 'loaded');
    assert.equal(moved.value.spkiSha256(), pin);
    assert.equal(chainOf(moved.value)[0]?.checkIP('fd00::1'), 'fd00::1');
  });

  it('touches no file that it cannot use', async (test) => {
    const here = place(test);
    const file = join(here.directory, localCaFileName);
    await here.open();
    const good = readFileSync(file, 'utf8');
    const open = async (): Promise<string> => {
      const opened = await openLocalCa({ directory: here.directory, address: '10.0.0.1', clock: { now: () => start } });
      assert.ok(opened.is === 'bad');
      assert.ok(!opened.why.text.includes('PRIVATE') && !opened.why.text.includes('MIG'), opened.why.text);
      return opened.why.code;
    };
    const held = JSON.parse(good) as { ca: { key: string }; server: { key: string } };
    const swapped = JSON.stringify({ ...held, ca: { ...held.ca, key: held.server.key } });
    for (const text of ['', '{}', good.slice(0, 500), swapped, good.replace('"v":1', '"v":2')]) {
      writeFileSync(file, text);
      assert.equal(await open(), 'config.invalid');
      assert.equal(readFileSync(file, 'utf8'), text);
    }
    writeFileSync(file, good);
    chmodSync(file, 0o640);
    assert.equal(await open(), 'config.secret-exposed');
  });
});
