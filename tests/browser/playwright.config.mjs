// One demo house for all tests, in the system's Chromium, one test at a time (two cores).
import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.mjs',
  outputDir: '../../target/browser',
  workers: 1,
  timeout: 60_000,
  reporter: [['list']],
  globalSetup: process.env.FINELINE_NO_DEMO ? undefined : './demo.mjs',
  use: {
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
    },
  },
  projects: [
    { name: 'pages', use: { javaScriptEnabled: true } },
    { name: 'plain', use: { javaScriptEnabled: false }, grep: /without scripts/ },
  ],
});
