"""Everyday sentences in many languages, by which a conversion tells what it cost."""

# By ISO 639-1 code; each language has the same three sentences.
SENTENCES = {
    "ar": (
        "أين تقع أقرب محطة قطار؟",
        "أود كوبًا من الشاي بدون سكر من فضلك.",
        "يلعب الأطفال في الحديقة لأن الشمس مشرقة.",
    ),
    "bg": (
        "Къде е най-близката железопътна гара?",
        "Бих искал чаша чай без захар, моля.",
        "Децата играят в градината, защото слънцето грее.",
    ),
    "cs": (
        "Kde je nejbližší vlakové nádraží?",
        "Dal bych si šálek čaje bez cukru, prosím.",
        "Děti si hrají na zahradě, protože svítí slunce.",
    ),
    "de": (
        "Wo ist der nächste Bahnhof?",
        "Ich hätte gern eine Tasse Tee ohne Zucker, bitte.",
        "Die Kinder spielen im Garten, weil die Sonne scheint.",
    ),
    "el": (
        "Πού είναι ο πλησιέστερος σιδηροδρομικός σταθμός;",
        "Θα ήθελα ένα φλιτζάνι τσάι χωρίς ζάχαρη, παρακαλώ.",
        "Τα παιδιά παίζουν στον κήπο γιατί έχει ήλιο.",
    ),
    "en": (
        "Where is the nearest train station?",
        "I would like a cup of tea without sugar, please.",
        "The children are playing in the garden because the sun is shining.",
    ),
    "es": (
        "¿Dónde está la estación de tren más cercana?",
        "Quisiera una taza de té sin azúcar, por favor.",
        "Los niños juegan en el jardín porque hace sol.",
    ),
    "fa": (
        "نزدیک‌ترین ایستگاه قطار کجاست؟",
        "لطفاً یک فنجان چای بدون شکر می‌خواهم.",
        "بچه‌ها در باغ بازی می‌کنند چون آفتاب می‌تابد.",
    ),
    "fi": (
        "Missä on lähin rautatieasema?",
        "Haluaisin kupin teetä ilman sokeria, kiitos.",
        "Lapset leikkivät puutarhassa, koska aurinko paistaa.",
    ),
    "fr": (
        "Où se trouve la gare la plus proche ?",
        "Je voudrais une tasse de thé sans sucre, s'il vous plaît.",
        "Les enfants jouent dans le jardin parce que le soleil brille.",
    ),
    "he": (
        "איפה תחנת הרכבת הקרובה ביותר?",
        "אני רוצה כוס תה בלי סוכר, בבקשה.",
        "הילדים משחקים בגינה כי השמש זורחת.",
    ),
    "hi": (
        "सबसे नज़दीकी रेलवे स्टेशन कहाँ है?",
        "कृपया मुझे बिना चीनी की एक कप चाय चाहिए।",
        "बच्चे बगीचे में खेल रहे हैं क्योंकि धूप निकली है।",
    ),
    "hu": (
        "Hol van a legközelebbi vasútállomás?",
        "Kérek egy csésze teát cukor nélkül.",
        "A gyerekek a kertben játszanak, mert süt a nap.",
    ),
    "id": (
        "Di mana stasiun kereta terdekat?",
        "Saya ingin secangkir teh tanpa gula.",
        "Anak-anak bermain di taman karena matahari bersinar.",
    ),
    "it": (
        "Dov'è la stazione ferroviaria più vicina?",
        "Vorrei una tazza di tè senza zucchero, per favore.",
        "I bambini giocano in giardino perché c'è il sole.",
    ),
    "ja": (
        "一番近い駅はどこですか。",
        "砂糖なしの紅茶を一杯お願いします。",
        "太陽が輝いているので、子供たちは庭で遊んでいます。",
    ),
    "ko": (
        "가장 가까운 기차역은 어디에 있나요?",
        "설탕 없이 차 한 잔 주세요.",
        "햇빛이 비쳐서 아이들이 정원에서 놀고 있습니다.",
    ),
    "nl": (
        "Waar is het dichtstbijzijnde treinstation?",
        "Ik wil graag een kopje thee zonder suiker.",
        "De kinderen spelen in de tuin omdat de zon schijnt.",
    ),
    "pl": (
        "Gdzie jest najbliższy dworzec kolejowy?",
        "Poproszę filiżankę herbaty bez cukru.",
        "Dzieci bawią się w ogrodzie, bo świeci słońce.",
    ),
    "pt": (
        "Onde fica a estação de comboios mais próxima?",
        "Queria uma chávena de chá sem açúcar, por favor.",
        "As crianças brincam no jardim porque está sol.",
    ),
    "ro": (
        "Unde este cea mai apropiată gară?",
        "Aș dori o ceașcă de ceai fără zahăr, vă rog.",
        "Copiii se joacă în grădină pentru că strălucește soarele.",
    ),
    "ru": (
        "Где находится ближайший вокзал?",
        "Я хотел бы чашку чая без сахара, пожалуйста.",
        "Дети играют в саду, потому что светит солнце.",
    ),
    "sv": (
        "Var ligger närmaste tågstation?",
        "Jag skulle vilja ha en kopp te utan socker, tack.",
        "Barnen leker i trädgården eftersom solen skiner.",
    ),
    "sw": (
        "Kituo cha treni kilicho karibu kiko wapi?",
        "Ningependa kikombe cha chai bila sukari, tafadhali.",
        "Watoto wanacheza bustanini kwa sababu jua linawaka.",
    ),
    "th": (
        "สถานีรถไฟที่ใกล้ที่สุดอยู่ที่ไหน",
        "ขอชาหนึ่งถ้วยไม่ใส่น้ำตาลครับ",
        "เด็กๆ กำลังเล่นอยู่ในสวนเพราะแดดออก",
    ),
    "tr": (
        "En yakın tren istasyonu nerede?",
        "Şekersiz bir bardak çay istiyorum, lütfen.",
        "Güneş parladığı için çocuklar bahçede oynuyor.",
    ),
    "uk": (
        "Де знаходиться найближчий вокзал?",
        "Я хотів би чашку чаю без цукру, будь ласка.",
        "Діти граються в саду, бо світить сонце.",
    ),
    "ur": (
        "قریب ترین ریلوے اسٹیشن کہاں ہے؟",
        "براہ کرم مجھے بغیر چینی کے ایک کپ چائے چاہیے۔",
        "بچے باغ میں کھیل رہے ہیں کیونکہ دھوپ نکلی ہوئی ہے۔",
    ),
    "vi": (
        "Ga tàu gần nhất ở đâu?",
        "Cho tôi một tách trà không đường.",
        "Bọn trẻ đang chơi trong vườn vì trời nắng.",
    ),
    "zh": (
        "最近的火车站在哪里？",
        "请给我一杯不加糖的茶。",
        "孩子们在花园里玩，因为阳光明媚。",
    ),
}
