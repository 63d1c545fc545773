// Copyright (c) 2026, the devportal.backstage maintainers
// GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// node look.js BROWSER URL SCREENSHOT [star]: sign in as a guest, look at the catalog, and star example-website.
// Prints a JSON object with the entities of the table and how many of them are starred.
const { createRequire } = require('module');
const puppeteer = createRequire(`${process.cwd()}/`)('puppeteer-core');

const [browserPath, url, screenshot, star] = process.argv.slice(2);
const patience = { timeout: 120000 };

// Until the backend has answered all, and the page had a moment to show it.
async function settled(page) {
  await page.waitForNetworkIdle({ idleTime: 2000, concurrency: 2, ...patience });
  await new Promise(resolve => setTimeout(resolve, 1000));
}

async function look(page) {
  await page.goto(url, { waitUntil: 'domcontentloaded', ...patience });
  const enter = await page.waitForSelector('button ::-p-text(Enter)', patience);
  await enter.click();
  // The table is drawn again when its entities are there, and the stars come last.
  await page.waitForFunction(() => /All Components \(\d+\)/.test(document.body.innerText), patience);
  await settled(page);
  const starred = () => Number(/Starred\s+(\d+)/.exec(document.body.innerText)[1]);
  if (star && !(await page.evaluate(starred))) {
    const button = await page.waitForSelector('tr button[aria-label*="avorite"], tr button[title*="avorite"]', patience);
    await button.click();
    await page.waitForFunction(starred, patience);
    // No tooltip in the picture.
    await page.mouse.move(0, 0);
    await settled(page);
  }
  const text = await page.evaluate(() => document.body.innerText);
  await page.screenshot({ path: screenshot });
  return {
    entities: [...text.matchAll(/example-[a-z-]+/g)].map(found => found[0]),
    starred: await page.evaluate(starred),
    text: text.slice(0, 2000),
  };
}

async function main() {
  const browser = await puppeteer.launch({
    executablePath: browserPath,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--hide-scrollbars'],
    defaultViewport: { width: 1600, height: 700 },
    ...patience,
  });
  try {
    console.log(JSON.stringify(await look(await browser.newPage())));
  } finally {
    await browser.close();
  }
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
