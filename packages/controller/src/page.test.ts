import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { consentWords } from '@felhom/protocol';
import type { Controller } from './controller/controller.ts';
import { createPage } from './page.ts';

test('the page tells how it is and takes consent only as JSON and in the exact words', async (t) => {
  let healthy = true;
  const typed: (string | undefined)[] = [];
  const controller: Controller = {
    run: () => Promise.resolve(),
    health: () => Promise.resolve({ healthy, quiesced: false, text: '', stoppedStacks: [] }),
    deploy: () => Promise.resolve({ is: 'refused', texts: [] }),
    audit: () => Promise.resolve({ is: 'ok', lines: ['a line'], broken: undefined }),
    consent: (words) => {
      typed.push(words);
      return Promise.resolve(
        words === consentWords || words === undefined
          ? { is: 'ok', value: { given: words !== undefined } }
          : { is: 'refused', text: 'type it' },
      );
    },
  };
  const page = createPage(controller);
  await new Promise<void>((done) => page.listen(0, '127.0.0.1', done));
  t.after(() => {
    page.closeAllConnections();
    page.close();
  });
  const url = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
  const ask = async (method: string, path: string, type?: string, body?: string): Promise<number> => {
    const init = { method, ...(type === undefined ? {} : { headers: { 'content-type': type } }) };
    return (await fetch(`${url}${path}`, body === undefined ? init : { ...init, body })).status;
  };
  assert.equal(await ask('GET', '/health'), 200);
  healthy = false;
  assert.equal(await ask('GET', '/health'), 503);
  assert.equal(await ask('GET', '/audit'), 200);
  assert.equal(await ask('GET', '/elsewhere'), 404);
  const good = JSON.stringify({ typed: consentWords });
  assert.equal(await ask('POST', '/consent', 'text/plain', good), 415);
  assert.equal(await ask('POST', '/consent', 'application/json', '{"typed":1}'), 400);
  assert.equal(await ask('POST', '/consent', 'application/json', `"${'x'.repeat(3000)}"`), 400);
  assert.deepEqual(typed, []);
  assert.equal(await ask('POST', '/consent', 'application/json', '{"typed":"ok"}'), 400);
  assert.equal(await ask('POST', '/consent', 'application/json', good), 200);
  assert.equal(await ask('DELETE', '/consent', 'application/json'), 200);
  assert.deepEqual(typed, ['ok', consentWords, undefined]);
});
