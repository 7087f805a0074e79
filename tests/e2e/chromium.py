# SPDX-License-Identifier: ISC
"""A real browser: Debian's Chromium without a window, driven by chromedriver in the WebDriver
protocol (W3C), over HTTP. Every wait has a limit."""
import base64
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time

from wire import PATIENCE, free_port

STARTING = 60  # seconds, at most; others may be busy
ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'  # a name that the protocol has

# The last ones: nothing is asked of the network, which there may be none of.
ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
             '--hide-scrollbars', '--disable-quic', '--disable-background-networking', '--disable-component-update',
             '--disable-sync', '--disable-default-apps', '--disable-extensions', '--disable-features=OptimizationHints']


class Element:
    def __init__(self, browser, identity):
        self.browser, self.path = browser, f'/element/{identity}'

    def ask(self, method, path, **body):
        return self.browser.ask(method, self.path + path, **body)

    def type(self, text):
        """Also the path of a file, into an input for such."""
        self.ask('POST', '/value', text=text)

    def clear(self):
        self.ask('POST', '/clear')

    def click(self):
        self.ask('POST', '/click')

    @property
    def text(self):
        return self.ask('GET', '/text')

    def get(self, name):
        return self.ask('GET', f'/property/{name}')

    @property
    def label(self):
        """What a screen reader calls it."""
        return self.ask('GET', '/computedlabel')


class Chromium:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='proxyd-chromium-')
        self.port = free_port()
        self.log = open(os.path.join(self.folder, 'log'), 'w')
        self.driver = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'TERM', 'chromedriver', f'--port={self.port}'], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, start_new_session=True,
            env={**os.environ, 'HOME': self.folder, 'TMPDIR': self.folder})
        self.session = ''
        try:
            self.wait(lambda: self.ask('GET', '/status')['ready'], 'chromedriver', STARTING)
            made = self.ask('POST', '/session', capabilities={'alwaysMatch': {
                'goog:loggingPrefs': {'browser': 'ALL'}, 'goog:chromeOptions': {
                    'binary': '/usr/bin/chromium',
                    'args': [*ARGUMENTS, '--user-data-dir=' + os.path.join(self.folder, 'user')]}}})
            self.session = '/session/' + made['sessionId']
        except BaseException:
            self.stop()
            raise

    def ask(self, method, path, **body):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=STARTING)
        try:
            connection.request(method, self.session + path if hasattr(self, 'session') else path,
                               json.dumps(body) if method == 'POST' else None)
            value = json.load(connection.getresponse())['value']
        finally:
            connection.close()
        if isinstance(value, dict) and 'error' in value:
            raise LookupError(f'{value["error"]}: {value["message"].splitlines()[0]}')
        return value

    def stop(self):
        try:
            if self.session:
                self.ask('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait(PATIENCE)
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, what, name, seconds=PATIENCE * 3):
        """Asks again and again, until WHAT is true; returns it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = what()
            except (LookupError, OSError) as error:
                found, name = None, f'{name} ({error})' if '(' not in name else name
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f'{name} did not come; the page is {self.url}: {self.source[:3000]}')
            time.sleep(0.05)

    # ---- what it shows ----

    def go(self, url):
        self.ask('POST', '/url', url=url)

    @property
    def url(self):
        return self.ask('GET', '/url')

    @property
    def title(self):
        return self.ask('GET', '/title')

    @property
    def source(self):
        return self.ask('GET', '/source')

    def find(self, selector):
        """The element that a CSS selector names."""
        return Element(self, self.ask('POST', '/element', using='css selector', value=selector)[ELEMENT])

    def wait_for(self, selector):
        return self.wait(lambda: self.find(selector), selector)

    # Between finding an element and asking it the page may have put another one in its place: once more, then.

    def text_of(self, selector):
        """What an element says, as soon as it is there and says something."""
        return self.wait(lambda: self.find(selector).text, selector)

    def press(self, selector):
        self.wait(lambda: self.find(selector).click() or True, selector)

    def run(self, script):
        return self.ask('POST', '/execute/sync', script=script, args=[])

    def complaints(self):
        """What the console says that is worth a complaint."""
        lines = self.ask('POST', '/se/log', type='browser')
        return [line['message'] for line in lines if line['level'] in ('SEVERE', 'WARNING')]

    def cookies(self):
        return {cookie['name']: cookie for cookie in self.ask('GET', '/cookie')}

    def resize(self, width, height, phone=False):
        self.ask('POST', '/goog/cdp/execute', cmd='Emulation.setDeviceMetricsOverride', params={
            'width': width, 'height': height, 'deviceScaleFactor': 2 if phone else 1, 'mobile': phone})

    def prefer(self, scheme):
        """dark or light"""
        self.ask('POST', '/goog/cdp/execute', cmd='Emulation.setEmulatedMedia', params={
            'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})

    def screenshot(self, path):
        with open(path, 'wb') as file:
            file.write(base64.b64decode(self.ask('GET', '/screenshot')))
