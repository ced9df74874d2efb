"""The example of a first start. It is the one of Cohere's documentation, so that results can be compared."""

QUERY = "What is the capital of the United States?"
DOCUMENTS = (
    "Carson City is the capital city of the American state of Nevada.",
    (
        "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific Ocean. Its capital is "
        "Saipan."
    ),
    (
        "Washington, D.C. (also known as simply Washington or D.C., and officially as the District of Columbia) is "
        "the capital of the United States. It is a federal district."
    ),
    (
        "Capitalization or capitalisation in English grammar is the use of a capital letter at the start of a word. "
        "English usage varies from capitalization in other languages."
    ),
    (
        "Capital punishment (the death penalty) has existed in the United States since before the United States was a "
        "country. As of 2017, capital punishment is legal in 30 of the 50 states."
    ),
)
